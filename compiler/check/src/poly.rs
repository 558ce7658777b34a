//! Sizes as polynomials with rational coefficients, in a normal form whose equality is equality of text.
//!
//! Exponents may be negative, so `head * (feature / head)` is `feature` without a rule for it. What is no polynomial
//! (a quotient rounded down, a quotient by a sum) is an atom that equals only itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const MOST_TERMS: usize = 64;

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ratio {
    /// Above the line.
    pub(crate) over: i128,
    /// Below the line, at least 1.
    pub(crate) under: i128,
}

impl Ratio {
    const fn whole(n: i128) -> Self {
        Self { over: n, under: 1 }
    }

    fn new(over: i128, under: i128) -> Option<Self> {
        let divisor = gcd(over.checked_abs()?, under.checked_abs()?);
        if under == 0 || divisor == 0 {
            return None;
        }
        let sign = if under < 0 { -1 } else { 1 };
        Some(Self {
            over: sign * (over / divisor),
            under: sign * (under / divisor),
        })
    }

    fn add(self, other: Self) -> Option<Self> {
        let over = self
            .over
            .checked_mul(other.under)?
            .checked_add(other.over.checked_mul(self.under)?)?;
        Self::new(over, self.under.checked_mul(other.under)?)
    }

    fn multiply(self, other: Self) -> Option<Self> {
        Self::new(
            self.over.checked_mul(other.over)?,
            self.under.checked_mul(other.under)?,
        )
    }

    fn floor(self) -> i128 {
        self.over.div_euclid(self.under)
    }

    /// The nearest f64.
    pub(crate) fn to_f64(self) -> f64 {
        self.over as f64 / self.under as f64
    }
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    Variable(Arc<str>),
    Floor(Box<Poly>),
    Inverse(Box<Poly>),
}

type Monomial = Vec<(Atom, i32)>;

/// A size: a sum of products of variables. `overflow` marks a computation that left 128 bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Poly {
    terms: BTreeMap<Monomial, Ratio>,
    overflow: bool,
}

impl From<u64> for Poly {
    fn from(n: u64) -> Self {
        Self::number(i128::from(n))
    }
}

impl Poly {
    /// A number.
    pub(crate) fn number(n: i128) -> Self {
        Self::term(Vec::new(), Ratio::whole(n))
    }

    /// A variable.
    pub(crate) fn variable(name: &str) -> Self {
        Self::term(vec![(Atom::Variable(Arc::from(name)), 1)], Ratio::whole(1))
    }

    fn atom(atom: Atom) -> Self {
        Self::term(vec![(atom, 1)], Ratio::whole(1))
    }

    fn term(monomial: Monomial, coefficient: Ratio) -> Self {
        let mut terms = BTreeMap::new();
        if coefficient.over != 0 {
            terms.insert(monomial, coefficient);
        }
        Self {
            terms,
            overflow: false,
        }
    }

    fn overflowed() -> Self {
        Self {
            terms: BTreeMap::new(),
            overflow: true,
        }
    }

    /// Whether a computation was too large for this form.
    pub(crate) fn is_overflow(&self) -> bool {
        self.overflow
    }

    /// The value, if no variable is in it.
    pub(crate) fn constant(&self) -> Option<Ratio> {
        if self.overflow {
            return None;
        }
        match self.terms.iter().next() {
            None => Some(Ratio::whole(0)),
            Some((monomial, value)) if self.terms.len() == 1 && monomial.is_empty() => Some(*value),
            Some(_) => None,
        }
    }

    /// The value, if it is a known whole number.
    pub(crate) fn integer(&self) -> Option<i128> {
        self.constant().filter(|r| r.under == 1).map(|r| r.over)
    }

    /// Whether a quotient rounded down or a quotient by a sum is in it: then unequal forms may be equal numbers.
    pub(crate) fn is_opaque(&self) -> bool {
        self.overflow
            || self.terms.keys().flatten().any(|(atom, _)| match atom {
                Atom::Variable(_) => false,
                Atom::Floor(_) | Atom::Inverse(_) => true,
            })
    }

    /// The sum.
    pub(crate) fn add(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.overflow |= other.overflow;
        for (monomial, value) in &other.terms {
            let before = sum.terms.remove(monomial).unwrap_or(Ratio::whole(0));
            match before.add(*value) {
                Some(after) if after.over != 0 => {
                    sum.terms.insert(monomial.clone(), after);
                }
                Some(_) => {}
                None => return Self::overflowed(),
            }
        }
        if sum.overflow || sum.terms.len() > MOST_TERMS {
            return Self::overflowed();
        }
        sum
    }

    /// `-self`.
    pub(crate) fn negate(&self) -> Self {
        self.multiply(&Self::number(-1))
    }

    /// The difference.
    pub(crate) fn subtract(&self, other: &Self) -> Self {
        self.add(&other.negate())
    }

    /// The product.
    pub(crate) fn multiply(&self, other: &Self) -> Self {
        if self.overflow || other.overflow {
            return Self::overflowed();
        }
        let mut product = Self::number(0);
        for (left, a) in &self.terms {
            for (right, b) in &other.terms {
                let Some(value) = a.multiply(*b) else {
                    return Self::overflowed();
                };
                let Some(monomial) = merge(left, right) else {
                    return Self::overflowed();
                };
                product = product.add(&Self::term(monomial, value));
            }
        }
        product
    }

    /// The quotient without rounding; nothing for a division by zero.
    pub(crate) fn divide(&self, other: &Self) -> Option<Self> {
        if other.terms.is_empty() && !other.overflow {
            return None;
        }
        Some(self.multiply(&other.inverse()))
    }

    fn inverse(&self) -> Self {
        if self.overflow {
            return Self::overflowed();
        }
        let mut terms = self.terms.iter();
        match (terms.next(), terms.next()) {
            (Some((monomial, value)), None) => {
                let flipped = monomial.iter().map(|(a, e)| (a.clone(), -e)).collect();
                Ratio::new(value.under, value.over)
                    .map_or_else(Self::overflowed, |v| Self::term(flipped, v))
            }
            _ => Self::atom(Atom::Inverse(Box::new(self.clone()))),
        }
    }

    /// Rounded down, given sizes that are known to be whole.
    pub(crate) fn floor(&self, whole: &[Self]) -> Self {
        if self.overflow {
            return Self::overflowed();
        }
        let rest = self
            .terms
            .get(&Vec::new())
            .copied()
            .unwrap_or(Ratio::whole(0));
        let variable = self.subtract(&Self::term(Vec::new(), rest));
        if variable.is_whole(whole) {
            return variable.add(&Self::number(rest.floor()));
        }
        Self::atom(Atom::Floor(Box::new(self.clone())))
    }

    /// Whether it is a whole number wherever its variables and those of `whole` are.
    pub(crate) fn is_whole(&self, whole: &[Self]) -> bool {
        let plain = |p: &Self| {
            !p.overflow
                && p.terms
                    .iter()
                    .all(|(m, v)| v.under == 1 && m.iter().all(|(_, e)| *e > 0))
        };
        plain(self) || whole.iter().any(|known| plain(&self.subtract(known)))
    }
}

fn merge(left: &Monomial, right: &Monomial) -> Option<Monomial> {
    let mut powers: BTreeMap<Atom, i32> = left.iter().cloned().collect();
    for (atom, exponent) in right {
        let power = powers.entry(atom.clone()).or_insert(0);
        *power = power.checked_add(*exponent)?;
    }
    Some(powers.into_iter().filter(|(_, e)| *e != 0).collect())
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Floor(inner) => write!(f, "⌊{inner}⌋"),
            Self::Inverse(inner) => write!(f, "1/({inner})"),
        }
    }
}

fn write_term(
    f: &mut fmt::Formatter<'_>,
    monomial: &Monomial,
    over: i128,
    under: i128,
) -> fmt::Result {
    let power = |(atom, e): &(Atom, i32)| match e.abs() {
        1 => atom.to_string(),
        n => format!("{atom}^{n}"),
    };
    let above: Vec<String> = monomial.iter().filter(|p| p.1 > 0).map(power).collect();
    let mut below: Vec<String> = monomial.iter().filter(|p| p.1 < 0).map(power).collect();
    if under != 1 {
        below.insert(0, under.to_string());
    }
    let mut factors = above;
    if over != 1 || factors.is_empty() {
        factors.insert(0, over.to_string());
    }
    f.write_str(&factors.join("·"))?;
    below.iter().try_for_each(|b| write!(f, "/{b}"))
}

impl fmt::Display for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.overflow {
            return f.write_str("too large");
        }
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // Highest powers first, the constant last.
        for (i, (monomial, value)) in self.terms.iter().rev().enumerate() {
            match (i, value.over < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            write_term(f, monomial, value.over.abs(), value.under)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    fn v(name: &str) -> Poly {
        Poly::variable(name)
    }

    #[test]
    fn normal_forms_meet() {
        let two = Poly::number(2);
        let half = v("height").divide(&two).unwrap();
        assert_eq!(half.multiply(&two), v("height"));
        let depth = v("feature").divide(&v("heads")).unwrap();
        assert_eq!(depth.multiply(&v("heads")), v("feature"));
        assert_ne!(v("channel"), v("channel").multiply(&two));
        assert_eq!(v("a").subtract(&v("a")), Poly::number(0));
    }

    #[test]
    fn rounding_up_is_exact_where_the_quotient_is_whole() {
        let half = v("height").divide(&Poly::number(2)).unwrap();
        let up = v("height")
            .add(&Poly::number(1))
            .divide(&Poly::number(2))
            .unwrap();
        assert_eq!(up.floor(std::slice::from_ref(&half)), half);
        assert!(up.floor(&[]).is_opaque());
        assert_eq!(
            Poly::number(7).divide(&Poly::number(2)).unwrap().floor(&[]),
            Poly::number(3)
        );
    }

    #[test]
    fn text() {
        let p = v("channel")
            .multiply(&Poly::number(2))
            .add(&Poly::number(1));
        assert_eq!(p.to_string(), "2·channel + 1");
        assert_eq!(
            v("height").divide(&Poly::number(2)).unwrap().to_string(),
            "height/2"
        );
        assert_eq!(v("f").divide(&v("h")).unwrap().to_string(), "f/h");
    }

    #[test]
    fn overflow_is_kept_not_wrapped() {
        let mut p = Poly::number(1 << 100);
        p = p.multiply(&p);
        assert!(p.is_overflow() && p.add(&Poly::number(1)).is_overflow());
        assert!(p.constant().is_none());
    }
}
