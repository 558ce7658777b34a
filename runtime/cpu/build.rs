//! Turns the kernels of `hot/*.kernel` into Rust over SIMD lanes, one function for each instruction set.
//!
//! The texts are those of `mmh_lower::kernel`; they are read here again, by a few lines, so that nothing but this file
//! stands between a changed kernel and its code. What is generated is tested against the evaluator of kernels.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Kernels of one generated module: the pieces that compile side by side.
const MODULE: usize = 8;

fn main() {
    let folder = Path::new("hot");
    println!("cargo::rerun-if-changed=hot");
    println!("cargo::rerun-if-changed=build.rs");
    let mut texts = BTreeMap::new();
    for path in files(folder) {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for kernel in split(&text) {
            texts.insert(key(&kernel), kernel);
        }
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("hot.rs");
    fs::write(&out, generate(&texts, sets(&arch)))
        .unwrap_or_else(|e| panic!("{}: {e}", out.display()));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "kernel"))
        .collect();
    paths.sort();
    paths
}

/// Kernel texts as `Display` writes them.
fn split(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
    let joined: String = lines.flat_map(|l| [l, "\n"]).collect();
    joined.split_inclusive("}\n").map(str::to_string).collect()
}

/// FNV-1a, as `Kernel::key`.
fn key(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// An instruction set: its name in `Isa`, its lanes, what must be enabled.
struct Set {
    isa: &'static str,
    lanes: &'static str,
    features: &'static str,
}

fn sets(arch: &str) -> &'static [Set] {
    match arch {
        "x86_64" => &[
            Set {
                isa: "Avx2",
                lanes: "x86::Avx2",
                features: "avx2,fma",
            },
            Set {
                isa: "Avx512",
                lanes: "x86::Avx512",
                features: "avx512f,avx2,fma",
            },
        ],
        "aarch64" => &[Set {
            isa: "Neon",
            lanes: "neon::Neon",
            features: "neon",
        }],
        // Without vectors there is one lane, and no other code generator on some processors.
        _ => &[Set {
            isa: "Scalar",
            lanes: "portable::One",
            features: "",
        }],
    }
}

fn generate(texts: &BTreeMap<u64, String>, sets: &[Set]) -> String {
    let kernels: Vec<(&u64, &String)> = texts.iter().collect();
    let mut out = String::new();
    for (number, part) in kernels.chunks(MODULE).enumerate() {
        let _ = writeln!(
            out,
            "mod part{number} {{\nuse super::super::*;\nuse super::super::lanes::Lanes;"
        );
        for (key, text) in part {
            out += &function(**key, &Kernel::read(text));
            for set in sets {
                out += &wrapper(**key, set);
            }
        }
        out += "}\n";
    }
    out += "pub(super) static HOT: &[Hot] = &[\n";
    for (at, (key, text)) in kernels.iter().enumerate() {
        let entries: String = sets
            .iter()
            .map(|s| format!("(Isa::{0}, part{1}::k{key:016x}_{0}), ", s.isa, at / MODULE))
            .collect();
        let _ = writeln!(
            out,
            "Hot {{ key: {key:#x}, text: {text:?}, entries: &[{entries}] }},"
        );
    }
    out += "];\n";
    out
}

const PARAMETERS: &str = "pointers: *const *mut u8, row_steps: *const i64, column_steps: *const i64, rows: i64, columns: i64, index: *const i32";

fn wrapper(key: u64, set: &Set) -> String {
    let enable = if set.features.is_empty() {
        String::new()
    } else {
        format!("#[target_feature(enable = \"{}\")]\n", set.features)
    };
    format!(
        "{enable}pub(super) unsafe extern \"C\" fn k{key:016x}_{}({PARAMETERS}) {{\n\
         unsafe {{ k{key:016x}::<{}>(pointers, row_steps, column_steps, rows, columns, index) }}\n}}\n",
        set.isa, set.lanes
    )
}

struct Kernel {
    /// Element type and movement.
    loads: Vec<(String, String)>,
    /// Instruction and its operands.
    body: Vec<(String, Vec<String>)>,
    /// Element type, movement, mode, value.
    stores: Vec<[String; 4]>,
}

/// How often a value is computed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Once,
    Row,
    Column,
}

impl Kernel {
    fn read(text: &str) -> Self {
        let mut kernel = Self {
            loads: Vec::new(),
            body: Vec::new(),
            stores: Vec::new(),
        };
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["kernel", "{"] | ["}"] => {}
                ["in", _, dtype, pattern] => {
                    kernel.loads.push((dtype.to_string(), pattern.to_string()))
                }
                ["out", dtype, pattern, mode, value] => kernel
                    .stores
                    .push([dtype, pattern, mode, value].map(|s| s.to_string())),
                [_, "=", ..] => {
                    let call = line
                        .split_once("= ")
                        .and_then(|(_, call)| call.trim().strip_suffix(')')?.split_once('('));
                    let (name, args) = call.unwrap_or_else(|| panic!("no instruction: {line}"));
                    kernel.body.push((
                        name.to_string(),
                        args.split(", ").map(str::to_string).collect(),
                    ));
                }
                _ => panic!("no line of a kernel: {line}"),
            }
        }
        kernel
    }

    fn levels(&self) -> Vec<Level> {
        let mut levels: Vec<Level> = Vec::new();
        for (name, args) in &self.body {
            let level = match (name.as_str(), args[0].as_str()) {
                ("Load", n) => {
                    if self.loads[number(n)].1 == "Splat" {
                        Level::Row
                    } else {
                        Level::Column
                    }
                }
                ("Index", "0") => Level::Row,
                ("Index", "1") => Level::Column,
                _ => args
                    .iter()
                    .filter_map(|a| a.strip_prefix('r'))
                    .map(|r| levels[number(r)])
                    .max()
                    .unwrap_or(Level::Once),
            };
            levels.push(level);
        }
        levels
    }

    /// The value of instruction `at`; `FULL` and `count` say how many lanes of memory it may touch.
    fn value(&self, at: usize, full: bool) -> String {
        let (name, args) = &self.body[at];
        let a = args[0].as_str();
        match name.as_str() {
            "Load" => self.load(number(a), full),
            "Index" => match a {
                "0" => "L::splat_i((*index).wrapping_add(row as i32))".to_string(),
                "1" => {
                    "L::iadd(L::splat_i((*index.add(1)).wrapping_add(column as i32)), L::iota())"
                        .to_string()
                }
                axis => format!("L::splat_i(*index.add({axis}))"),
            },
            // Behind the places of 32 loops (`mmh_lower::kernel::PLACES`).
            "Param" => format!("L::splat(f32::from_bits((*index.add(32 + {a})).cast_unsigned()))"),
            "F32" => format!("L::splat(f32::from_bits({:#x}))", float(a)),
            "I32" => format!("L::splat_i({a})"),
            "Shl" | "Shr" | "Sar" => format!("L::{}::<{}>({a})", name.to_lowercase(), args[1]),
            _ => format!("L::{}({})", method(name), args.join(", ")),
        }
    }

    fn load(&self, n: usize, full: bool) -> String {
        let (dtype, pattern) = &self.loads[n];
        let raw = match (dtype.as_str(), pattern.as_str()) {
            ("bf16", "Splat") => format!(
                "L::splat(f32::from_bits(u32::from(p{n}.cast::<u16>().read_unaligned()) << 16))"
            ),
            ("bf16", "Unit") => {
                format!("L::load_bf16::<{full}>(p{n}.offset(column * 2), count)")
            }
            ("bf16", _) => {
                format!("L::gather_bf16::<{full}>(p{n}.offset(column * c{n}), c{n}, count)")
            }
            ("f32" | "i32", "Splat") => format!("L::splat(p{n}.cast::<f32>().read_unaligned())"),
            (_, "Splat") => format!("L::splat_i(i32::from(p{n}.read()))"),
            ("f32" | "i32", "Unit") => format!("L::load::<{full}>(p{n}.offset(column * 4), count)"),
            (_, "Unit") => format!("L::load_u8::<{full}>(p{n}.offset(column), count)"),
            ("f32" | "i32", _) => {
                format!("L::gather::<{full}>(p{n}.offset(column * c{n}), c{n}, count)")
            }
            _ => format!("L::gather_u8::<{full}>(p{n}.offset(column * c{n}), c{n}, count)"),
        };
        match dtype.as_str() {
            "i32" => format!("L::bits({raw})"),
            "bool" => format!("L::nonzero({raw})"),
            _ => raw,
        }
    }

    fn store(&self, s: usize, full: bool) -> String {
        let [dtype, pattern, mode, value] = &self.stores[s];
        let n = self.loads.len() + s;
        let (size, bytes) = match dtype.as_str() {
            "f32" | "i32" => (4, ""),
            "bf16" => (2, "_bf16"),
            _ => (1, "_u8"),
        };
        let place = if pattern == "Unit" {
            format!("p{n}.offset(column * {size})")
        } else {
            format!("p{n}.offset(column * c{n})")
        };
        let old = match pattern.as_str() {
            "Unit" => format!("L::load::<{full}>({place}, count)"),
            _ => format!("L::gather::<{full}>({place}, c{n}, count)"),
        };
        let value = match (dtype.as_str(), mode.as_str()) {
            ("i32", _) => format!("L::from_bits({value})"),
            ("bool", _) => format!("L::truth({value})"),
            (_, "Sum") => format!("L::add({old}, {value})"),
            (_, "Max") => format!("L::max({old}, {value})"),
            (_, "Min") => format!("L::min({old}, {value})"),
            _ => value.clone(),
        };
        match pattern.as_str() {
            "Unit" => format!("L::store{bytes}::<{full}>({place}, {value}, count);\n"),
            _ => format!("L::scatter{bytes}::<{full}>({place}, c{n}, {value}, count);\n"),
        }
    }
}

/// Rows outside, columns inside: whole vectors first, then the rest of the row. What does not change along the columns
/// is computed once a row, what does not change at all once.
fn function(key: u64, kernel: &Kernel) -> String {
    let levels = kernel.levels();
    let moving: Vec<&str> = kernel
        .loads
        .iter()
        .map(|l| l.1.as_str())
        .chain(kernel.stores.iter().map(|s| s[1].as_str()))
        .collect();
    let values = |level: Level, full: bool| -> String {
        let of_level = (0..kernel.body.len()).filter(|&at| levels[at] == level);
        of_level
            .map(|at| format!("let r{at} = {};\n", kernel.value(at, full)))
            .collect()
    };
    let stores = |full: bool| -> String {
        (0..kernel.stores.len())
            .map(|s| kernel.store(s, full))
            .collect()
    };
    let mut out =
        format!("#[inline(always)]\nunsafe fn k{key:016x}<L: Lanes>({PARAMETERS}) {{\nunsafe {{\n");
    for (n, pattern) in moving.iter().enumerate() {
        let _ = writeln!(
            out,
            "let mut p{n} = *pointers.add({n}); let s{n} = *row_steps.add({n}) as isize;"
        );
        if *pattern == "Strided" {
            let _ = writeln!(out, "let c{n} = *column_steps.add({n}) as isize;");
        }
    }
    out += "let lanes = L::LANES as isize; let columns = columns as isize;\n";
    out += &values(Level::Once, true);
    out += "for row in 0..rows {\n";
    out += &values(Level::Row, true);
    out += "let mut column = 0isize;\nlet count = L::LANES;\nwhile column + lanes <= columns {\n";
    out += &values(Level::Column, true);
    out += &stores(true);
    out += "column += lanes;\n}\nif L::LANES > 1 && column < columns {\nlet count = (columns - column) as usize;\n";
    out += &values(Level::Column, false);
    out += &stores(false);
    out += "}\n";
    for n in 0..moving.len() {
        let _ = writeln!(out, "p{n} = p{n}.wrapping_offset(s{n});");
    }
    out += "}\n}\n}\n";
    out
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn float(text: &str) -> u32 {
    match text.strip_prefix("bits:0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap_or_else(|e| panic!("{text}: {e}")),
        None => text
            .parse::<f32>()
            .unwrap_or_else(|e| panic!("{text}: {e}"))
            .to_bits(),
    }
}

fn method(name: &str) -> &'static str {
    match name {
        "Add" => "add",
        "Sub" => "sub",
        "Mul" => "mul",
        "Div" => "div",
        "Fma" => "fma",
        "Neg" => "neg",
        "Abs" => "abs",
        "Sqrt" => "sqrt",
        "Min" => "min",
        "Max" => "max",
        "Lt" => "lt",
        "Le" => "le",
        "Eq" => "eq",
        "Ne" => "ne",
        "Select" => "select",
        "SelectI" => "select_i",
        "AndB" => "and_b",
        "OrB" => "or_b",
        "NotB" => "not_b",
        "Bits" => "bits",
        "FromBits" => "from_bits",
        "IAdd" => "iadd",
        "ISub" => "isub",
        "IMul" => "imul",
        "IAnd" => "iand",
        "IOr" => "ior",
        "IXor" => "ixor",
        "ILt" => "ilt",
        "IEq" => "ieq",
        "IUlt" => "iult",
        "ToInt" => "to_int",
        "ToFloat" => "to_float",
        other => panic!("no instruction: {other}"),
    }
}
