package wavepool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/proxy/config"
)

// Rooms that may not import each other still have to use the same words. What they would have to agree on is compared
// here, where both can be seen.

func TestTheFileOffersTheStrategiesThatThePickersHave(t *testing.T) {
	require.ElementsMatch(t, lb.Strategies(), config.Strategies())
	require.Equal(t, config.StrategyPeakEWMA, config.Strategies()[0], "the default comes first")
}
