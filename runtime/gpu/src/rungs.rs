//! How each float operation is carried out on a device: by its own instruction, or by a way that was found exact.
//!
//! Rungs are climbed downwards by `admit`: a device that fails a test on one is tried on the next.

use std::fmt;

/// A way to a correctly rounded result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// The device's own instruction.
    Native,
    /// Through f64, rounded to odd (fused multiply-add alone).
    Double,
    /// In 32-bit integers.
    Integer,
}

/// The float operations that have rungs of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// Addition and subtraction.
    Add,
    /// Multiplication.
    Multiply,
    /// Fused multiply-add.
    Fma,
    /// Division.
    Divide,
    /// Square root.
    Sqrt,
    /// `<`, `≤`, `=`.
    Compare,
    /// From i32.
    Convert,
}

impl Operation {
    /// All, in the order of [`Rungs`].
    pub const ALL: [Self; 7] = [
        Self::Add,
        Self::Multiply,
        Self::Fma,
        Self::Divide,
        Self::Sqrt,
        Self::Compare,
        Self::Convert,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Multiply => "multiply",
            Self::Fma => "fma",
            Self::Divide => "divide",
            Self::Sqrt => "sqrt",
            Self::Compare => "compare",
            Self::Convert => "convert",
        }
    }
}

impl Way {
    const ALL: [Self; 3] = [Self::Native, Self::Double, Self::Integer];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Double => "f64",
            Self::Integer => "integer",
        }
    }
}

/// How the device's compiler is kept from rewriting expressions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Keep {
    /// SPIR-V in which every float operation is marked `NoContraction`: nothing is lost to it.
    Marked,
    /// An exclusive or with a zero that is known at run time alone, between any two operations: for every other driver.
    Hidden,
}

impl Keep {
    const ALL: [Self; 2] = [Self::Marked, Self::Hidden];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Marked => "marked",
            Self::Hidden => "hidden",
        }
    }
}

/// The way of every operation, in the order of [`Operation::ALL`], and how expressions are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rungs([Way; 7], Keep);

impl Rungs {
    /// Every operation by the same way; there is no f64 way but for the multiply-add.
    pub fn all(way: Way) -> Self {
        let only = |operation| {
            if way == Way::Double && operation != Operation::Fma {
                Way::Native
            } else {
                way
            }
        };
        Self(Operation::ALL.map(only), Keep::Hidden)
    }

    /// How expressions are kept as they are.
    pub fn keep(&self) -> Keep {
        self.1
    }

    /// With expressions kept another way.
    pub fn kept(mut self, keep: Keep) -> Self {
        self.1 = keep;
        self
    }

    /// The way of one operation.
    pub fn of(&self, operation: Operation) -> Way {
        self.0[operation as usize]
    }

    /// With another way for one operation.
    pub fn with(mut self, operation: Operation, way: Way) -> Self {
        self.0[operation as usize] = way;
        self
    }

    /// One rung down for an operation, if there is one. `doubles`: whether the device has f64.
    pub fn down(self, operation: Operation, doubles: bool) -> Option<Self> {
        let next = match self.of(operation) {
            Way::Native if operation == Operation::Fma && doubles => Way::Double,
            Way::Native | Way::Double => Way::Integer,
            Way::Integer => return None,
        };
        Some(self.with(operation, next))
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rungs = Self::all(Way::Native);
        let mut seen = 0;
        let mut keep = None;
        for part in text.split(", ") {
            let (operation, way) = part.split_once(' ')?;
            if operation == EXPRESSIONS {
                keep = Some(Keep::ALL.into_iter().find(|k| k.name() == way)?);
                continue;
            }
            let operation = Operation::ALL.into_iter().find(|o| o.name() == operation)?;
            let way = Way::ALL.into_iter().find(|w| w.name() == way)?;
            if way == Way::Double && operation != Operation::Fma {
                return None;
            }
            rungs = rungs.with(operation, way);
            seen += 1;
        }
        (seen == Operation::ALL.len()).then_some(rungs.kept(keep?))
    }

    /// Whether shaders need f64 and 64-bit integers.
    pub fn needs_doubles(&self) -> bool {
        self.of(Operation::Fma) == Way::Double
    }
}

impl fmt::Display for Rungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = Operation::ALL.map(|o| format!("{} {}", o.name(), self.of(o).name()));
        write!(
            f,
            "{}, {EXPRESSIONS} {}",
            parts.join(", "),
            self.keep().name()
        )
    }
}

/// The word for [`Keep`] in reports.
const EXPRESSIONS: &str = "expressions";

/// A mistake that a test puts into a device, to see it refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// Multiply-add rounds twice, on every rung.
    UnfusedFma,
    /// Results that are subnormal become zero, on every rung.
    FlushedSubnormals,
    /// The last levels of a sum are added in another order.
    ReorderedSum,
}

const BASE: &str = include_str!("wgsl/base.wgsl");
const SOFT: &str = include_str!("wgsl/soft.wgsl");
const DOUBLE: &str = include_str!("wgsl/double.wgsl");

/// How numbers pass from one operation to the next: `fx` results, `hidden` operands, `of_bits` numbers made of bits, constants
/// among them. Hidden, they meet an exclusive or with a zero each; marked, only numbers made of bits do: lavapipe takes `a + 0` for
/// `a` whatever is marked.
fn passing(keep: Keep, fault: Option<Fault>) -> String {
    let flushes = fault == Some(Fault::FlushedSubnormals);
    let zero = |name: &str| match keep {
        Keep::Marked => String::new(),
        Keep::Hidden => format!(" ^ {name}"),
    };
    let result = |bits: &str| match flushes {
        true => format!("flushed({bits})"),
        false => bits.to_owned(),
    };
    let mut out = format!(
        "fn fx(x: f32) -> f32 {{ return bitcast<f32>({}{}); }}\n\
         fn hidden(x: f32) -> f32 {{ return bitcast<f32>(bitcast<u32>(x){}); }}\n\
         fn of_bits(x: u32) -> f32 {{ return bitcast<f32>({}{}); }}\n",
        result("bitcast<u32>(x)"),
        zero("z"),
        zero("z_operand"),
        result("x"),
        " ^ z_bits",
    );
    out.push_str("fn zero_() -> f32 { return of_bits(0u); }\n");
    if flushes {
        out.push_str("fn flushed(x: u32) -> u32 { return select(x, x & 0x80000000u, (x & 0x7f800000u) == 0u); }\n");
    }
    out
}

/// The functions every shader begins with, for these ways. The second operand passes `hidden` too where a compiler
/// that saw both to be one, or one to be a constant, would know the result (`a − a`, `a / a`, `a < a`, `a + 0`): found on Mesa lavapipe.
pub(crate) fn prelude(rungs: &Rungs, fault: Option<Fault>) -> String {
    let mut out = String::from(BASE);
    out.push_str(&passing(rungs.keep(), fault));
    if rungs.0.contains(&Way::Integer) {
        out.push_str(SOFT);
    }
    let integer = |operation| rungs.of(operation) == Way::Integer;
    let either = |soft: bool, native: &'static str, integer: &'static str| {
        if soft { integer } else { native }
    };
    out.push_str(either(
        integer(Operation::Add),
        "fn add_(a: f32, b: f32) -> f32 { return fx(a + hidden(b)); }\n\
         fn sub_(a: f32, b: f32) -> f32 { return fx(a - hidden(b)); }\n",
        "fn add_(a: f32, b: f32) -> f32 { return of_bits(soft_fma(bits_of(a), 0x3f800000u, bits_of(b))); }\n\
         fn sub_(a: f32, b: f32) -> f32 { return add_(a, neg_(b)); }\n",
    ));
    out.push_str(either(
        integer(Operation::Multiply),
        "fn mul_(a: f32, b: f32) -> f32 { return fx(a * hidden(b)); }\n",
        "fn mul_(a: f32, b: f32) -> f32 {\n\
         return of_bits(soft_fma(bits_of(a), bits_of(b), (bits_of(a) ^ bits_of(b)) & 0x80000000u));\n}\n",
    ));
    out.push_str(match (fault, rungs.of(Operation::Fma)) {
        (Some(Fault::UnfusedFma), _) => {
            "fn fma_(a: f32, b: f32, c: f32) -> f32 { return add_(mul_(a, b), c); }\n"
        }
        (_, Way::Native) => "fn fma_(a: f32, b: f32, c: f32) -> f32 { return fx(fma(a, b, hidden(c))); }\n",
        (_, Way::Double) => DOUBLE,
        (_, Way::Integer) => {
            "fn fma_(a: f32, b: f32, c: f32) -> f32 { return of_bits(soft_fma(bits_of(a), bits_of(b), bits_of(c))); }\n"
        }
    });
    out.push_str(either(
        integer(Operation::Divide),
        "fn div_(a: f32, b: f32) -> f32 { return fx(a / hidden(b)); }\n",
        "fn div_(a: f32, b: f32) -> f32 { return of_bits(soft_div(bits_of(a), bits_of(b))); }\n",
    ));
    out.push_str(either(
        integer(Operation::Sqrt),
        "fn sqrt_(a: f32) -> f32 { return fx(sqrt(a)); }\n",
        "fn sqrt_(a: f32) -> f32 { return of_bits(soft_sqrt(bits_of(a))); }\n",
    ));
    out.push_str(either(
        integer(Operation::Compare),
        "fn lt_(a: f32, b: f32) -> bool { return a < hidden(b); }\n\
         fn le_(a: f32, b: f32) -> bool { return a <= hidden(b); }\n\
         fn eq_(a: f32, b: f32) -> bool { return a == hidden(b); }\n",
        "fn lt_(a: f32, b: f32) -> bool { return !is_nan(a) && !is_nan(b) && soft_order(bits_of(a)) < soft_order(bits_of(b)); }\n\
         fn le_(a: f32, b: f32) -> bool { return !is_nan(a) && !is_nan(b) && soft_order(bits_of(a)) <= soft_order(bits_of(b)); }\n\
         fn eq_(a: f32, b: f32) -> bool { return !is_nan(a) && !is_nan(b) && soft_order(bits_of(a)) == soft_order(bits_of(b)); }\n",
    ));
    out.push_str(either(
        integer(Operation::Convert),
        "fn to_float(i: i32) -> f32 { return fx(f32(i)); }\n",
        "fn to_float(i: i32) -> f32 { return of_bits(soft_of_int(i)); }\n",
    ));
    out.push_str(DERIVED);
    out
}

/// What is made of the operations, the same on every rung.
const DERIVED: &str = "\
fn min_(a: f32, b: f32) -> f32 { return choose(lt_(a, b), a, b); }
fn max_(a: f32, b: f32) -> f32 { return choose(lt_(b, a), a, b); }
fn to_int(x: f32) -> i32 {
  let bits = bits_of(x); let e = i32((bits >> 23u) & 255u) - 127;
  if (e < 0 || is_nan(x)) { return 0; }
  if (e >= 31) { return select(2147483647, -2147483647 - 1, (bits >> 31u) == 1u); }
  let m = (bits & 0x7fffffu) | 0x800000u;
  var size = m >> u32(max(23 - e, 0));
  if (e > 23) { size = m << u32(e - 23); }
  return bitcast<i32>(select(size, 0u - size, (bits >> 31u) == 1u));
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_read_back() {
        for way in Way::ALL {
            let rungs = Rungs::all(way).kept(Keep::Marked);
            assert_eq!(Rungs::parse(&rungs.to_string()), Some(rungs));
        }
        assert_eq!(Rungs::parse("add native"), None);
        // Without the last word, as written before there was one.
        let whole = Rungs::all(Way::Native).to_string();
        let short = whole.rsplit_once(", ").map(|(short, _)| short);
        assert_eq!(short.map(Rungs::parse), Some(None));
        assert_eq!(Rungs::parse("nonsense"), None);
    }

    #[test]
    fn the_ladder_ends() {
        let mut rungs = Rungs::all(Way::Native);
        let mut steps = 0;
        while let Some(next) = rungs.down(Operation::Fma, true) {
            rungs = next;
            steps += 1;
        }
        assert_eq!((steps, rungs.of(Operation::Fma)), (2, Way::Integer));
        assert_eq!(
            Rungs::all(Way::Native).down(Operation::Sqrt, true),
            Some(Rungs::all(Way::Native).with(Operation::Sqrt, Way::Integer))
        );
    }
}
