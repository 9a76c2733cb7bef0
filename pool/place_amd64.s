//go:build gc

#include "textflag.h"

// func callersPlace() place
// BP is still the frame pointer of the caller, since this function has no frame; the word above the one that it points
// to is the address to which the caller returns. The caller is one of this package, so that no wrapper stands between.
TEXT ·callersPlace(SB), NOSPLIT, $0-8
	MOVQ 8(BP), AX
	MOVQ AX, ret+0(FP)
	RET
