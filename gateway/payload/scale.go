package payload

import (
	"math"
	"math/bits"
)

// pow10 are the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22}

// scaled is m × 10^exp, correctly rounded; false if that takes more than is done here.
//
// A mantissa below 2^53 and a power up to 10^22 are exact, so their product or quotient rounds once (Clinger, "How to read floating
// point numbers accurately", 1990).
func scaled(m uint64, exp int) (float64, bool) {
	if m < 1<<53 && exp >= -22 && exp <= 22 {
		if exp < 0 {
			return float64(m) / pow10[-exp], true
		}
		return float64(m) * pow10[exp], true
	}
	return eiselLemire(m, exp)
}

// eiselLemire multiplies m, moved up to 64 bits, with 128 bits of the power of ten and keeps the upper bits of the product. False where
// those cannot tell the rounding, where the result is not a normal number, and outside of the table (Lemire, "Number parsing at a
// gigabyte per second", 2021). m > 0.
func eiselLemire(m uint64, exp int) (float64, bool) {
	if m == 0 || exp < minPower || exp > maxPower {
		return 0, false
	}
	shift := bits.LeadingZeros64(m)
	m <<= shift
	power := &powersOfTen[exp-minPower]
	high, low := bits.Mul64(m, power[0])
	const undecided = 1<<9 - 1 // the bits below the 55 that are kept
	if high&undecided == undecided && low+m < m {
		more, least := bits.Mul64(m, power[1])
		sum, carry := bits.Add64(low, more, 0)
		if high += carry; high&undecided == undecided && sum+1 == 0 && least+m < m {
			return 0, false
		}
		low = sum
	}
	top := high >> 63
	mantissa := high >> (top + 9) // 54 bits: one more than needed, for rounding
	// floor(log2(10^exp)) is exp × 217706 / 65536; 1087 is the bias of the exponent, 1023, plus the 64 bits of m.
	biased := uint64(217706*exp>>16+1087) - uint64(shift) - (1 ^ top)
	if low == 0 && high&undecided == 0 && mantissa&3 == 1 {
		return 0, false // halfway, or just above: the lost bits decide
	}
	mantissa = (mantissa + mantissa&1) >> 1
	if mantissa>>53 > 0 {
		mantissa >>= 1
		biased++
	}
	if biased-1 >= 0x7ff-1 {
		return 0, false
	}
	return math.Float64frombits(biased<<52 | mantissa&(1<<52-1)), true
}
