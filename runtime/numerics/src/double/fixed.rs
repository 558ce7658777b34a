//! Numbers with 64 bits before the point and 320 after it: enough to round every double correctly.

/// A signed number, two's complement, lowest limb first; arithmetic wraps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed(pub(super) [u64; 6]);

/// Limbs after the point.
const FRACTION: usize = 5;

impl Fixed {
    pub(super) const ZERO: Fixed = Fixed([0; 6]);
    pub(super) const ONE: Fixed = Fixed([0, 0, 0, 0, 0, 1]);

    /// `mantissa · 2^exponent`; what lies below 2⁻³²⁰ is cut off. The value must be below 2⁶³.
    pub(super) fn scaled(mantissa: u64, exponent: i32) -> Fixed {
        let mut limbs = [0; 6];
        let lowest = exponent + 64 * FRACTION as i32;
        for bit in (0..64).filter(|bit| mantissa >> bit & 1 == 1) {
            let place = lowest + bit;
            if (0..384).contains(&place) {
                limbs[place as usize / 64] |= 1 << (place % 64);
            }
        }
        Fixed(limbs)
    }

    pub(super) fn is_negative(self) -> bool {
        self.0[FRACTION] >> 63 == 1
    }

    pub(super) fn add(self, other: Fixed) -> Fixed {
        let mut carry = false;
        Fixed(std::array::from_fn(|i| {
            let (sum, first) = self.0[i].overflowing_add(other.0[i]);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            carry = first | second;
            sum
        }))
    }

    pub(super) fn neg(self) -> Fixed {
        Fixed(self.0.map(|limb| !limb)).add(Fixed([1, 0, 0, 0, 0, 0]))
    }

    pub(super) fn sub(self, other: Fixed) -> Fixed {
        self.add(other.neg())
    }

    pub(super) fn abs(self) -> Fixed {
        if self.is_negative() { self.neg() } else { self }
    }

    fn with_sign(self, negative: bool) -> Fixed {
        if negative { self.neg() } else { self }
    }

    pub(super) fn mul(self, other: Fixed) -> Fixed {
        let (a, b) = (self.abs().0, other.abs().0);
        let mut product = [0_u64; 12];
        for i in 0..6 {
            let mut carry = 0_u128;
            for j in 0..6 {
                let step = u128::from(a[i]) * u128::from(b[j]) + u128::from(product[i + j]) + carry;
                product[i + j] = step as u64;
                carry = step >> 64;
            }
            product[i + 6] = carry as u64;
        }
        let value = Fixed(std::array::from_fn(|i| product[i + FRACTION]));
        value.with_sign(self.is_negative() != other.is_negative())
    }

    pub(super) fn mul_integer(self, factor: i64) -> Fixed {
        let (value, mut carry) = (self.abs().0, 0_u128);
        let product = Fixed(std::array::from_fn(|i| {
            let step = u128::from(value[i]) * u128::from(factor.unsigned_abs()) + carry;
            carry = step >> 64;
            step as u64
        }));
        product.with_sign(self.is_negative() != (factor < 0))
    }

    pub(super) fn div_integer(self, divisor: u64) -> Fixed {
        let (mut value, mut rest) = (self.abs().0, 0_u128);
        for limb in value.iter_mut().rev() {
            let step = rest << 64 | u128::from(*limb);
            *limb = (step / u128::from(divisor)) as u64;
            rest = step % u128::from(divisor);
        }
        Fixed(value).with_sign(self.is_negative())
    }

    /// `self · 2^count`, for a count from −62 to 62; bits that leave are lost.
    pub(super) fn shift(self, count: i32) -> Fixed {
        if count < 0 {
            self.div_integer(1 << -count)
        } else {
            self.mul_integer(1 << count)
        }
    }

    /// The f64 nearest to `self · 2^exponent`, ties to even; `self` is not negative.
    ///
    /// Bits more than 200 places below the highest are rounded away first, so that a tie reached by a rounded
    /// computation still counts as one.
    pub(super) fn to_f64(self, exponent: i32) -> f64 {
        let Some(top) = (0..6).rev().find(|&i| self.0[i] != 0) else {
            return 0.0;
        };
        let highest = top as i32 * 64 + 63 - self.0[top].leading_zeros() as i32;
        let clean = if highest >= 200 {
            self.add(self.bit(highest - 200))
                .cleared_below(highest - 199)
        } else {
            self
        };
        // Carrying may have moved the highest bit up by one: harmless, the units below are absolute.
        let place = highest - 64 * FRACTION as i32 + exponent;
        let unit = (place - 52).max(-1074);
        let unit_bit = unit - exponent + 64 * FRACTION as i32;
        let (kept, above, tie) = clean.split_at(unit_bit);
        let up = if tie { kept & 1 == 1 } else { above };
        let integer = kept + u64::from(up);
        scale(integer, unit)
    }

    fn bit(self, place: i32) -> Fixed {
        let mut limbs = [0; 6];
        limbs[place as usize / 64] = 1 << (place % 64);
        Fixed(limbs)
    }

    fn cleared_below(self, place: i32) -> Fixed {
        Fixed(std::array::from_fn(|i| {
            let from = (place - 64 * i as i32).clamp(0, 64);
            if from == 64 {
                0
            } else {
                self.0[i] >> from << from
            }
        }))
    }

    fn bit_at(self, place: i32) -> bool {
        (0..384).contains(&place) && self.0[place as usize / 64] >> (place % 64) & 1 == 1
    }

    /// The integer above `place`, whether what is below is more than half, and whether it is exactly half.
    fn split_at(self, place: i32) -> (u64, bool, bool) {
        let kept = (0..64).fold(0, |kept, i| kept | u64::from(self.bit_at(place + i)) << i);
        let half = self.bit_at(place - 1);
        let mut below = self;
        for i in 0..384 {
            if i >= place - 1 {
                below.0[i as usize / 64] &= !(1 << (i % 64));
            }
        }
        let rest = below != Fixed::ZERO;
        (kept, half && rest, half && !rest)
    }
}

/// `integer · 2^unit`, exact or infinite: `integer` has at most 53 bits or is a power of two.
fn scale(integer: u64, unit: i32) -> f64 {
    let mut value = integer as f64;
    let mut left = unit;
    while left != 0 {
        let step = left.clamp(-1000, 1000);
        value *= f64::from_bits(((1023 + step) as u64) << 52);
        left -= step;
    }
    value
}
