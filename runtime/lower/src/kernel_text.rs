//! The text form of kernels, read back. What `Display` writes, [`Kernel::read`] takes; equal kernels have equal texts.

use crate::kernel::{
    Element, Instr, Kernel, Kind, Load, Mode, PARAMETERS, PLACES, Pattern, Reg, Store,
};

impl Kernel {
    /// Reads one kernel; the message names the line that is wrong.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut kernels = Self::read_all(text)?;
        match (kernels.pop(), kernels.is_empty()) {
            (Some(kernel), true) => Ok(kernel),
            _ => Err("there is not exactly one kernel".to_string()),
        }
    }

    /// Reads kernels that stand one behind another. Empty lines and lines that start with `#` are skipped.
    pub fn read_all(text: &str) -> Result<Vec<Self>, String> {
        let mut kernels = Vec::new();
        let mut open: Option<Self> = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let step = match (line, open.take()) {
                ("kernel {", None) => {
                    open = Some(Self::default());
                    Ok(())
                }
                ("}", Some(kernel)) => {
                    kernels.push(kernel);
                    Ok(())
                }
                (line, Some(mut kernel)) => {
                    let read = kernel.read_line(line);
                    open = Some(kernel);
                    read
                }
                (_, None) => Err("stands outside a kernel".to_string()),
            };
            step.map_err(|why| format!("line {}: `{line}` {why}", number + 1))?;
        }
        if open.is_some() {
            return Err("the last kernel has no end".to_string());
        }
        Ok(kernels)
    }

    /// A stable 64-bit name of the text form (FNV-1a). Names may collide: compare the texts too.
    pub fn key(text: &str) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }

    fn read_line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["in", number, dtype, pattern] => {
                if number.strip_suffix(':') != Some(self.loads.len().to_string().as_str()) {
                    return Err("is not the next operand".to_string());
                }
                self.loads.push(Load {
                    dtype: read_dtype(dtype)?,
                    pattern: read_pattern(pattern)?,
                });
                Ok(())
            }
            ["out", dtype, pattern, mode, value] => {
                let store = Store {
                    dtype: read_dtype(dtype)?,
                    pattern: read_pattern(pattern)?,
                    mode: read_mode(mode)?,
                    value: self.register(value)?,
                };
                self.check_store(&store)?;
                self.stores.push(store);
                Ok(())
            }
            [name, "=", ..] => {
                if name.strip_prefix('r') != Some(self.body.len().to_string().as_str()) {
                    return Err("does not define the next register".to_string());
                }
                let instr = self.read_instr(line)?;
                self.body.push(instr);
                Ok(())
            }
            _ => Err("is no operand, instruction or result".to_string()),
        }
    }

    fn check_store(&self, store: &Store) -> Result<(), String> {
        let kind = match store.dtype {
            Element::F32 | Element::Bf16 => Kind::Float,
            Element::I32 | Element::U8 => Kind::Int,
            Element::Bool => Kind::Mask,
        };
        if self.kind(store.value) != kind {
            return Err("stores a value of another kind".to_string());
        }
        if store.pattern == Pattern::Splat {
            return Err("stores every element in one place".to_string());
        }
        if store.mode != Mode::Write && store.dtype != Element::F32 {
            return Err("folds what is no f32".to_string());
        }
        Ok(())
    }

    fn register(&self, text: &str) -> Result<Reg, String> {
        let number = text.strip_prefix('r').and_then(|n| n.parse::<u16>().ok());
        number
            .filter(|&n| usize::from(n) < self.body.len())
            .map(Reg)
            .ok_or_else(|| format!("names no earlier register: `{text}`"))
    }

    fn operand(&self, text: &str, kind: Kind) -> Result<Reg, String> {
        let reg = self.register(text)?;
        if self.kind(reg) == kind {
            Ok(reg)
        } else {
            Err(format!("takes a value of another kind: `{text}`"))
        }
    }

    fn read_instr(&self, line: &str) -> Result<Instr, String> {
        let (_, right) = line.split_once('=').unwrap_or_default();
        let call = right
            .trim()
            .strip_suffix(')')
            .and_then(|c| c.split_once('('));
        let (name, args) = call.ok_or("is no instruction")?;
        let args: Vec<&str> = args.split(',').map(str::trim).collect();
        match args.as_slice() {
            [a] => self.one(name, a),
            [a, b] => self.two(name, a, b),
            [a, b, c] => self.three(name, [a, b, c]),
            _ => Err("has too many operands".to_string()),
        }
    }

    fn one(&self, name: &str, a: &str) -> Result<Instr, String> {
        let float = || self.operand(a, Kind::Float);
        let int = || self.operand(a, Kind::Int);
        Ok(match name {
            "Load" => Instr::Load(read_number(a, self.loads.len())?),
            "Index" => Instr::Index(read_number(a, PLACES)?),
            "F32" => Instr::F32(read_float(a)?),
            "Param" => Instr::Param(read_number(a, PARAMETERS)?),
            "I32" => Instr::I32(a.parse().map_err(|_| "is no i32")?),
            "Neg" => Instr::Neg(float()?),
            "Abs" => Instr::Abs(float()?),
            "Sqrt" => Instr::Sqrt(float()?),
            "Bits" => Instr::Bits(float()?),
            "ToInt" => Instr::ToInt(float()?),
            "FromBits" => Instr::FromBits(int()?),
            "ToFloat" => Instr::ToFloat(int()?),
            "NotB" => Instr::NotB(self.operand(a, Kind::Mask)?),
            _ => return Err(format!("has no instruction `{name}` of one operand")),
        })
    }

    fn two(&self, name: &str, a: &str, b: &str) -> Result<Instr, String> {
        let both = |kind| Ok::<_, String>((self.operand(a, kind)?, self.operand(b, kind)?));
        let shift = || Ok::<_, String>((self.operand(a, Kind::Int)?, read_number(b, 32)?));
        macro_rules! pick {
            ($($instr:ident $operands:expr;)*) => {
                match name {
                    $(stringify!($instr) => {
                        let (a, b) = $operands?;
                        Ok(Instr::$instr(a, b))
                    })*
                    _ => Err(format!("has no instruction `{name}` of two operands")),
                }
            };
        }
        pick! {
            Add both(Kind::Float); Sub both(Kind::Float); Mul both(Kind::Float); Div both(Kind::Float);
            Min both(Kind::Float); Max both(Kind::Float);
            Lt both(Kind::Float); Le both(Kind::Float); Eq both(Kind::Float); Ne both(Kind::Float);
            AndB both(Kind::Mask); OrB both(Kind::Mask);
            IAdd both(Kind::Int); ISub both(Kind::Int); IMul both(Kind::Int);
            IAnd both(Kind::Int); IOr both(Kind::Int); IXor both(Kind::Int);
            ILt both(Kind::Int); IEq both(Kind::Int); IUlt both(Kind::Int);
            Shl shift(); Shr shift(); Sar shift();
        }
    }

    fn three(&self, name: &str, [a, b, c]: [&str; 3]) -> Result<Instr, String> {
        let of = |first, rest| {
            Ok::<_, String>((
                self.operand(a, first)?,
                self.operand(b, rest)?,
                self.operand(c, rest)?,
            ))
        };
        match name {
            "Fma" => of(Kind::Float, Kind::Float).map(|(a, b, c)| Instr::Fma(a, b, c)),
            "Select" => of(Kind::Mask, Kind::Float).map(|(a, b, c)| Instr::Select(a, b, c)),
            "SelectI" => of(Kind::Mask, Kind::Int).map(|(a, b, c)| Instr::SelectI(a, b, c)),
            _ => Err(format!("has no instruction `{name}` of three operands")),
        }
    }
}

fn read_number(text: &str, below: usize) -> Result<u8, String> {
    let number = text.parse::<u8>().ok();
    number
        .filter(|&n| usize::from(n) < below)
        .ok_or_else(|| format!("needs a number below {below}: `{text}`"))
}

/// A decimal number, or the bits of one that has none.
fn read_float(text: &str) -> Result<u32, String> {
    let bits = match text.strip_prefix("bits:0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse::<f32>().ok().map(f32::to_bits),
    };
    bits.ok_or_else(|| format!("is no f32: `{text}`"))
}

fn read_dtype(text: &str) -> Result<Element, String> {
    let all = [
        Element::F32,
        Element::I32,
        Element::U8,
        Element::Bool,
        Element::Bf16,
    ];
    let found = all.into_iter().find(|d| d.name() == text);
    found.ok_or_else(|| format!("has no element type `{text}`"))
}

fn read_pattern(text: &str) -> Result<Pattern, String> {
    match text {
        "Unit" => Ok(Pattern::Unit),
        "Splat" => Ok(Pattern::Splat),
        "Strided" => Ok(Pattern::Strided),
        _ => Err(format!("has no movement `{text}`")),
    }
}

fn read_mode(text: &str) -> Result<Mode, String> {
    match text {
        "Write" => Ok(Mode::Write),
        "Sum" => Ok(Mode::Sum),
        "Max" => Ok(Mode::Max),
        "Min" => Ok(Mode::Min),
        _ => Err(format!("has no mode `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) as usize) % n
        }
    }

    fn of_kind(kernel: &Kernel, draw: &mut Draw, kind: Kind) -> Option<Reg> {
        let count = kernel.body.len();
        let start = draw.below(count.max(1));
        let mut regs = (0..count).map(|n| Reg(((start + n) % count) as u16));
        regs.find(|&r| kernel.kind(r) == kind)
    }

    fn instr(kernel: &Kernel, draw: &mut Draw) -> Option<Instr> {
        let mut of = |kind| of_kind(kernel, draw, kind);
        let (a, b, c) = (of(Kind::Float), of(Kind::Float), of(Kind::Float));
        let (i, j, m, n) = (of(Kind::Int), of(Kind::Int), of(Kind::Mask), of(Kind::Mask));
        let shift = draw.below(32) as u8;
        let bits = (draw.below(1 << 31) as u32).rotate_left(shift.into());
        Some(match draw.below(41) {
            0 => Instr::Load(draw.below(kernel.loads.len()) as u8),
            1 => Instr::Index(shift % 5),
            2 => Instr::F32(bits),
            3 => Instr::F32([0x7fc0_0000, 0xffc0_0001, 0x7f80_0000, 0x8000_0000, 1][draw.below(5)]),
            4 => Instr::I32(bits.cast_signed()),
            5 => Instr::Add(a?, b?),
            6 => Instr::Sub(a?, b?),
            7 => Instr::Mul(a?, b?),
            8 => Instr::Div(a?, b?),
            9 => Instr::Fma(a?, b?, c?),
            10 => Instr::Neg(a?),
            11 => Instr::Abs(a?),
            12 => Instr::Sqrt(a?),
            13 => Instr::Min(a?, b?),
            14 => Instr::Max(a?, b?),
            15 => Instr::Lt(a?, b?),
            16 => Instr::Le(a?, b?),
            17 => Instr::Eq(a?, b?),
            18 => Instr::Ne(a?, b?),
            19 => Instr::Select(m?, a?, b?),
            20 => Instr::SelectI(m?, i?, j?),
            21 => Instr::AndB(m?, n?),
            22 => Instr::OrB(m?, n?),
            23 => Instr::NotB(m?),
            24 => Instr::Bits(a?),
            25 => Instr::FromBits(i?),
            26 => Instr::IAdd(i?, j?),
            27 => Instr::ISub(i?, j?),
            28 => Instr::IMul(i?, j?),
            29 => Instr::IAnd(i?, j?),
            30 => Instr::IOr(i?, j?),
            31 => Instr::IXor(i?, j?),
            32 => Instr::Shl(i?, shift),
            33 => Instr::Shr(i?, shift),
            34 => Instr::Sar(i?, shift),
            35 => Instr::ILt(i?, j?),
            36 => Instr::IEq(i?, j?),
            37 => Instr::IUlt(i?, j?),
            38 => Instr::ToInt(a?),
            39 => Instr::Param(shift % PARAMETERS as u8),
            _ => Instr::ToFloat(i?),
        })
    }

    fn kernel(draw: &mut Draw) -> Kernel {
        let patterns = [Pattern::Unit, Pattern::Splat, Pattern::Strided];
        let mut kernel = Kernel::default();
        for dtype in [
            Element::F32,
            Element::I32,
            Element::U8,
            Element::Bool,
            Element::Bf16,
        ] {
            let pattern = patterns[draw.below(3)];
            kernel.loads.push(Load { dtype, pattern });
        }
        for _ in 0..60 {
            let next = instr(&kernel, draw);
            kernel.body.extend(next);
        }
        for (kind, dtype) in [
            (Kind::Float, Element::F32),
            (Kind::Int, Element::I32),
            (Kind::Mask, Element::Bool),
            (Kind::Float, Element::Bf16),
        ] {
            let Some(value) = of_kind(&kernel, draw, kind) else {
                continue;
            };
            let mode = if dtype == Element::F32 {
                [Mode::Write, Mode::Sum, Mode::Max, Mode::Min][draw.below(4)]
            } else {
                Mode::Write
            };
            let pattern = [Pattern::Unit, Pattern::Strided][draw.below(2)];
            kernel.stores.push(Store {
                value,
                dtype,
                pattern,
                mode,
            });
        }
        kernel
    }

    #[test]
    fn texts_read_back() {
        let mut draw = Draw(7);
        let kernels: Vec<Kernel> = (0..300).map(|_| kernel(&mut draw)).collect();
        let mut all = String::from("# many\n\n");
        for kernel in &kernels {
            let text = kernel.to_string();
            assert_eq!(Kernel::read(&text).as_ref(), Ok(kernel), "{text}");
            all += &text;
        }
        assert_eq!(Kernel::read_all(&all), Ok(kernels));
    }

    #[test]
    fn wrong_texts_are_refused() {
        for (lines, why) in [
            ("in 1: f32 Unit", "next operand"),
            ("in 0: f64 Unit", "element type"),
            ("r1 = F32(1.0)", "next register"),
            ("r0 = Load(0)", "below 0"),
            ("r0 = Neg(r0)", "no earlier register"),
            ("r0 = I32(1)\nr1 = Neg(r0)", "another kind"),
            ("r0 = I32(1)\nr1 = Shl(r0, 32)", "below 32"),
            ("r0 = I32(1)\nout f32 Unit Write r0", "another kind"),
            ("r0 = I32(1)\nout i32 Unit Sum r0", "no f32"),
            ("r0 = F32(1.0)\nout f32 Splat Write r0", "one place"),
            ("r0 = Exp(r0)", "no instruction"),
            ("r0 = F32(1.0", "is no instruction"),
            ("}\nr0 = F32(1.0)", "outside"),
        ] {
            let error = Kernel::read(&format!("kernel {{\n{lines}\n}}")).expect_err(lines);
            assert!(error.contains(why), "{error}");
        }
        assert!(Kernel::read("").is_err());
        assert!(Kernel::read("kernel {").is_err());
        assert!(Kernel::read("kernel {\n}\nkernel {\n}").is_err());
    }

    #[test]
    fn lifted_constants_go_back() {
        let mut draw = Draw(9);
        for _ in 0..300 {
            let kernel = kernel(&mut draw).with_constants(&[0x3dcc_cccd; PARAMETERS]);
            let (lifted, constants) = kernel.lifted();
            assert!(constants.len() <= PARAMETERS);
            assert_eq!(lifted.with_constants(&constants), kernel);
            let free = |k: &Kernel| {
                k.body
                    .iter()
                    .filter(|i| matches!(i, Instr::Param(_)))
                    .count()
            };
            assert_eq!((free(&lifted), free(&kernel)), (constants.len(), 0));
        }
        let text = |rate: &str| {
            format!(
                "kernel {{\n r0 = F32({rate})\n r1 = F32(1.0)\n r2 = Mul(r0, r1)\n out f32 Unit Write r2\n}}"
            )
        };
        let lifted = |rate: &str| Kernel::read(&text(rate)).expect("a kernel").lifted();
        assert_eq!(lifted("0.1").0, lifted("0.001").0);
        assert_eq!(lifted("0.1").1, [0.1f32.to_bits()]);
        assert!(lifted("1.0").1.is_empty());
    }

    #[test]
    fn keys_are_stable() {
        assert_eq!(Kernel::key(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Kernel::key("foobar"), 0x8594_4171_f739_67e8);
    }
}
