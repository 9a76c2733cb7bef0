package pool

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// laws are what the pool promises, and the tests that hold it to each; all names begin with TestConnectionPool.
var laws = []struct {
	law   string
	tests []string
}{
	{"one holder for each loan, and the accounts balance at every instant", []string{
		"HoldsItsLawsUnderAnyScript", "SoakHoldsEveryLaw", "AHandleStaysVoidWhenItsConnectionIsLentAgain"}},
	{"waiters are served in order, none after its context ended, and nobody overtakes; the line is bounded", []string{
		"WaitersAreServedFirstComeFirstServed", "NobodyIsServedAfterTheEndOfItsContext",
		"TooManyWaitersFailAtOnceAndSayWhy", "TryLendNeverWaitsAndNeverDials"}},
	{"a waiter takes whatever comes first, and a dial outlives its caller", []string{
		"AWaiterTakesAReturnedConnectionBeforeItsOwnDialEnds"}},
	{"dials are capped; while the backend is down callers fail fast and one probe goes out; a judge decides instead", []string{
		"NeverDialsMoreThanMaxDialsAtATime", "ThatIsDownFailsCallersAtOnceAndSaysWhatIsKnown",
		"SendsOneProbeAtATimeAndEndsEveryCallerWhateverTheBackendDoes", "UnderAJudgeIsNeverDownAndNeverProbes"}},
	{"sizes follow limits, floors and demand", []string{
		"MaxIdleClosesTheConnectionThatReturnsBeyondIt", "MinIdleIsRefilledAfterAnyRetirement",
		"TrimClosesWhatRecentDemandDidNotNeedOldestFirst", "ForecastFindsTheSlopeOfARamp"}},
	{"connections end by idle time, age, uses, retirement, resize, drain and close", []string{
		"ConnectionsBornTogetherDoNotDieTogether", "AConnectionEndsAfterMaxUsesAndItsSlotServesTheWaiter",
		"RetireEndsTheConnectionsOfTodayWithoutHurtingTheLentOnes", "ShrinkingClosesTheOldestIdleAndLetsLentOnesFinish",
		"DrainTurnsAwayThoseInLineWhenItsContextEnds"}},
	{"an idle connection is looked at, pinged or suspected before it is lent, and the peer's timeout is learned", []string{
		"ABatchIsLookedAtBeforeItIsLentAndDialledAnewWhereItDied", "SuspectsThoseThatWereIdleLongerThanABrokenOne",
		"LearnerNeverExceedsATrueTimeoutWhereLooksAreFrequent"}},
	{"the most recent is lent first, with a rotation", []string{
		"MostRecentlyUsedConnectionIsLentFirst", "NoNeededConnectionIsStarvedOrFavouredForEver",
		"OrderFIFOLendsTheOneIdleForLongest"}},
	{"a session carries several loans under the same laws", []string{
		"SessionCarriesSeveralLoansOnOneConnection", "SessionThatTakesNoMoreServesItsLoansToTheirEnd",
		"SetupThatFailsIsTheWaitersErrorAndKeepsNoSlot"}},
	{"a batch is lent whole or not at all, and batches do not block each other", []string{
		"ABatchIsDialledTogetherAndLentWhole", "BatchesOfHalfThePoolAndMoreDoNotBlockEachOther",
		"BatchMayBeServedByOneSession"}},
	{"a leak is told once, with the borrower's place", []string{
		"ALeakIsReportedOnceExactlyWithItsBorrowersStack", "HoldersListsTheLoansLongestFirst",
		"TheSecondReleaseNamesThePlaceOfTheFirst",
		"TheWatchOverLeaksCostsNothingWhenItIsOffAndAllocatesNothingWhenOn"}},
	{"statistics are one snapshot, with distributions", []string{
		"WaitDialLentAndAgeAreMeasured", "AHistogramIsWrittenByManyAtOnceWithoutLossAndWithoutAllocation"}},
	{"the dial timeout follows the dials", []string{
		"DialTimeoutIsThreeTimesTheLongestOfTheLastDialsWithinItsBounds",
		"DialTimeoutNeverLocksOutABackendThatBecameSlower"}},
	{"shards have locks of their own and steal from each other", []string{
		"AShardIsServedFromItsOwnListAndThenFromTheOthers", "ManyCallersOnManyShardsNeverShareAConnection"}},
	{"equal callers wait equally long", []string{"WorstWaitAtSaturationIsWithinTwiceTheMean"}},
}

func TestConnectionPoolEveryLawHasItsTests(t *testing.T) {
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				known[fn.Name.Name] = true
			}
		}
	}
	for _, l := range laws {
		require.NotEmpty(t, l.tests, l.law)
		for _, name := range l.tests {
			require.True(t, known["TestConnectionPool"+name], "%s: no test %s", l.law, name)
		}
	}
}
