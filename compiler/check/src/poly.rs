//! Sizes as polynomials with rational coefficients, in a normal form whose equality is equality of text.
//!
//! Exponents may be negative, so `head * (feature / head)` is `feature` without a rule for it. What is no polynomial
//! (a quotient rounded down, a quotient by a sum) is an atom that equals only itself.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

const MOST_TERMS: usize = 64;

/// Variables of one size, those of quotients inside it counted.
const MOST_WEIGHT: usize = 512;

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

/// A size: a number, or a sum of products of variables. Most sizes are numbers, and all are copied often, so neither costs
/// an allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Poly(Form);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Number(Ratio),
    /// Sorted by monomial, no coefficient 0, and some variable in it.
    Sum(Arc<Vec<(Monomial, Ratio)>>),
    /// A computation that left 128 bits.
    Overflow,
}

impl From<u64> for Poly {
    fn from(n: u64) -> Self {
        Self::number(i128::from(n))
    }
}

impl Poly {
    /// A number.
    pub(crate) fn number(n: i128) -> Self {
        Self(Form::Number(Ratio::whole(n)))
    }

    /// A variable.
    pub(crate) fn variable(name: &str) -> Self {
        Self::atom(Atom::Variable(Arc::from(name)))
    }

    fn atom(atom: Atom) -> Self {
        Self::of(vec![(vec![(atom, 1)], Ratio::whole(1))])
    }

    /// Terms that are sorted, with no coefficient 0.
    fn of(terms: Vec<(Monomial, Ratio)>) -> Self {
        match terms.as_slice() {
            [] => Self::number(0),
            [(monomial, value)] if monomial.is_empty() => Self(Form::Number(*value)),
            _ if terms.len() > MOST_TERMS || weight(&terms) > MOST_WEIGHT => Self::overflowed(),
            _ => Self(Form::Sum(Arc::new(terms))),
        }
    }

    fn overflowed() -> Self {
        Self(Form::Overflow)
    }

    /// The terms; nothing for a computation that left 128 bits.
    fn terms(&self) -> Option<Cow<'_, [(Monomial, Ratio)]>> {
        match &self.0 {
            Form::Number(value) if value.over == 0 => Some(Cow::Borrowed(&[])),
            Form::Number(value) => Some(Cow::Owned(vec![(Vec::new(), *value)])),
            Form::Sum(terms) => Some(Cow::Borrowed(terms)),
            Form::Overflow => None,
        }
    }

    /// Whether a computation was too large for this form.
    pub(crate) fn is_overflow(&self) -> bool {
        matches!(self.0, Form::Overflow)
    }

    /// The value, if no variable is in it.
    pub(crate) fn constant(&self) -> Option<Ratio> {
        match self.0 {
            Form::Number(value) => Some(value),
            Form::Sum(_) | Form::Overflow => None,
        }
    }

    /// The value, if it is a known whole number.
    pub(crate) fn integer(&self) -> Option<i128> {
        self.constant().filter(|r| r.under == 1).map(|r| r.over)
    }

    /// Whether a quotient rounded down or a quotient by a sum is in it: then unequal forms may be equal numbers.
    pub(crate) fn is_opaque(&self) -> bool {
        match &self.0 {
            Form::Number(_) => false,
            Form::Overflow => true,
            Form::Sum(terms) => {
                let mut atoms = terms.iter().flat_map(|(monomial, _)| monomial);
                atoms.any(|(atom, _)| match atom {
                    Atom::Variable(_) => false,
                    Atom::Floor(_) | Atom::Inverse(_) => true,
                })
            }
        }
    }

    /// The sum.
    pub(crate) fn add(&self, other: &Self) -> Self {
        if let (Form::Number(a), Form::Number(b)) = (&self.0, &other.0) {
            return a
                .add(*b)
                .map_or_else(Self::overflowed, |sum| Self(Form::Number(sum)));
        }
        let (Some(left), Some(right)) = (self.terms(), other.terms()) else {
            return Self::overflowed();
        };
        let mut sum = left.into_owned();
        for (monomial, value) in right.iter() {
            if add_term(&mut sum, monomial, *value).is_none() {
                return Self::overflowed();
            }
        }
        Self::of(sum)
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
        if let (Form::Number(a), Form::Number(b)) = (&self.0, &other.0) {
            return a
                .multiply(*b)
                .map_or_else(Self::overflowed, |product| Self(Form::Number(product)));
        }
        if let (_, Form::Number(Ratio { over: 1, under: 1 })) = (&self.0, &other.0) {
            return self.clone();
        }
        self.product(other).map_or_else(Self::overflowed, Self::of)
    }

    fn product(&self, other: &Self) -> Option<Vec<(Monomial, Ratio)>> {
        let mut product = Vec::new();
        let right = other.terms()?;
        for (left, a) in self.terms()?.iter() {
            for (right, b) in right.iter() {
                add_term(&mut product, &merge(left, right)?, a.multiply(*b)?)?;
            }
            if product.len() > MOST_TERMS {
                return None;
            }
        }
        Some(product)
    }

    /// The quotient without rounding; nothing for a division by zero.
    pub(crate) fn divide(&self, other: &Self) -> Option<Self> {
        if other.integer() == Some(0) {
            return None;
        }
        Some(self.multiply(&other.inverse()))
    }

    fn inverse(&self) -> Self {
        let Some(terms) = self.terms() else {
            return Self::overflowed();
        };
        match terms.as_ref() {
            [(monomial, value)] => {
                let flipped = monomial.iter().map(|(a, e)| (a.clone(), -e)).collect();
                Ratio::new(value.under, value.over)
                    .map_or_else(Self::overflowed, |v| Self::of(vec![(flipped, v)]))
            }
            _ => Self::atom(Atom::Inverse(Box::new(self.clone()))),
        }
    }

    /// Rounded down, given sizes that are known to be whole.
    pub(crate) fn floor(&self, whole: &[Self]) -> Self {
        let Some(terms) = self.terms() else {
            return Self::overflowed();
        };
        let rest = terms.iter().find(|(monomial, _)| monomial.is_empty());
        let rest = rest.map_or(Ratio::whole(0), |(_, value)| *value);
        let variable = self.subtract(&Self(Form::Number(rest)));
        if variable.is_whole(whole) {
            return variable.add(&Self::number(rest.floor()));
        }
        Self::atom(Atom::Floor(Box::new(self.clone())))
    }

    /// Whether it is a whole number wherever its variables and those of `whole` are.
    pub(crate) fn is_whole(&self, whole: &[Self]) -> bool {
        let plain = |p: &Self| match &p.0 {
            Form::Number(value) => value.under == 1,
            Form::Sum(terms) => terms
                .iter()
                .all(|(m, v)| v.under == 1 && m.iter().all(|(_, e)| *e > 0)),
            Form::Overflow => false,
        };
        plain(self) || whole.iter().any(|known| plain(&self.subtract(known)))
    }
}

fn weight(terms: &[(Monomial, Ratio)]) -> usize {
    let atoms = terms.iter().flat_map(|(monomial, _)| monomial);
    atoms
        .map(|(atom, _)| match atom {
            Atom::Variable(_) => 1,
            Atom::Floor(inner) | Atom::Inverse(inner) => match &inner.0 {
                Form::Number(_) | Form::Overflow => 1,
                Form::Sum(terms) => 1 + weight(terms),
            },
        })
        .sum()
}

/// Adds a term to sorted terms; nothing if a coefficient leaves 128 bits.
fn add_term(sum: &mut Vec<(Monomial, Ratio)>, monomial: &Monomial, value: Ratio) -> Option<()> {
    match sum.binary_search_by(|(known, _)| known.cmp(monomial)) {
        Err(_) if value.over == 0 => {}
        Err(at) => sum.insert(at, (monomial.clone(), value)),
        Ok(at) => {
            let known = sum.get_mut(at)?;
            known.1 = known.1.add(value)?;
            if known.1.over == 0 {
                sum.remove(at);
            }
        }
    }
    Some(())
}

fn merge(left: &Monomial, right: &Monomial) -> Option<Monomial> {
    if left.is_empty() || right.is_empty() {
        return Some(if left.is_empty() { right } else { left }.clone());
    }
    let mut powers = left.clone();
    for (atom, exponent) in right {
        match powers.binary_search_by(|(known, _)| known.cmp(atom)) {
            Err(at) => powers.insert(at, (atom.clone(), *exponent)),
            Ok(at) => {
                let power = powers.get_mut(at)?;
                power.1 = power.1.checked_add(*exponent)?;
                if power.1 == 0 {
                    powers.remove(at);
                }
            }
        }
    }
    Some(powers)
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
        let terms = match &self.0 {
            Form::Overflow => return f.write_str("too large"),
            Form::Number(Ratio { over, under: 1 }) => return write!(f, "{over}"),
            Form::Number(Ratio { over, under }) => return write!(f, "{over}/{under}"),
            Form::Sum(terms) => terms,
        };
        // Highest powers first, the constant last.
        for (i, (monomial, value)) in terms.iter().rev().enumerate() {
            match (i, value.over < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            match (monomial.as_slice(), value.over.abs(), value.under) {
                ([(atom, 1)], 1, 1) => write!(f, "{atom}")?,
                (_, over, under) => write_term(f, monomial, over, under)?,
            }
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
