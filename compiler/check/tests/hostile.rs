//! Texts made to hurt: each is answered within a second and 500 MB, with words.
//!
//! One test, so that what the process has taken at most is what these texts have taken.

mod common;

use common::Folder;
use mmh_check::{DataFacts, DataFault, SourceRequest, TextFault, World, check};
use mmh_ir::plan::SplitPlan;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const MOST_MEGABYTES: u64 = 500;

/// Time this thread has had a processor, where the system tells, so that a busy machine does not count; else the clock.
fn spent(start: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// The most memory this process ever had, in megabytes, where the system tells.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) >> 10
}

/// Files that use each other: `0.mmh` uses `1.mmh` and so on, and the last one the first.
struct Imports(usize);

impl World for Imports {
    fn read_text(&self, path: &str) -> Result<String, TextFault> {
        let number: usize = path.trim_end_matches(".mmh").parse().unwrap_or(0);
        let next = (number + 1) % self.0;
        Ok(format!(
            "mmh 1\nuse \"{next}.mmh\" {{ a{next} }}\nlet a{number} = 1\n"
        ))
    }

    fn data_facts(&self, _: &SourceRequest) -> Result<DataFacts, DataFault> {
        Ok(DataFacts::default())
    }

    fn part_rows(
        &self,
        _: &SourceRequest,
        _: &SplitPlan,
        _: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        Ok([0; 3])
    }
}

/// What must be said: a code, nothing at all, or whatever it is.
enum Wanted {
    Code(&'static str),
    Nothing,
    Anything,
}

/// What is wrong with the answer, if anything is.
fn answered(name: &str, world: &dyn World, main: &str, wanted: &Wanted) -> Option<String> {
    let mut best = Duration::MAX;
    let mut answer = None;
    for _ in 0..3 {
        let (start, before) = (Instant::now(), spent(Instant::now()));
        answer = Some(check(world, main, &[]));
        best = best.min(spent(start).saturating_sub(before));
        if best < SECOND {
            break;
        }
    }
    let checked = answer?;
    let said: Vec<&str> = checked.diagnostics.iter().map(|d| d.code.name()).collect();
    if std::env::var_os("MMH_SHOW").is_some() {
        let first = checked.diagnostics.first().map(|d| d.message.clone());
        let count = said.len();
        println!(
            "{name}: {best:?}, {} MB, {count} findings, {first:?}",
            peak()
        );
    }
    let as_wanted = match wanted {
        Wanted::Code(code) => said.contains(code),
        Wanted::Nothing => said.is_empty(),
        Wanted::Anything => true,
    };
    let good = best < SECOND && said.len() <= 200 && as_wanted;
    (!good).then(|| {
        format!(
            "{name}: {best:?}, {} findings: {:?}",
            said.len(),
            said.first()
        )
    })
}

fn block(name: &str, body: &str) -> String {
    format!("block {name}(x: f32[batch, feature]) -> like x {{\n  {body}\n}}\n")
}

/// Blocks of which each calls the one before it twice.
fn doubling(levels: usize) -> String {
    let mut text = format!("mmh 1\n{}", block("b0", "relu(x)"));
    for level in 1..=levels {
        let inner = level - 1;
        text += &block(&format!("b{level}"), &format!("x |> b{inner} |> b{inner}"));
    }
    text
}

fn texts() -> Vec<(&'static str, String, Wanted)> {
    use Wanted::{Anything, Code, Nothing};
    let limit = || Code("limit::too-large");
    let head = "mmh 1\n";
    let mut all: Vec<(&str, String, Wanted)> = Vec::new();
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("f(", ")"),
        ("-", ""),
        ("not ", ""),
        ("if ", ""),
    ] {
        let nested = |gap: &str, n: usize| {
            format!(
                "mmh 1\nlet a = {}1{}\n",
                format!("{open}{gap}").repeat(n),
                close.repeat(n)
            )
        };
        all.push(("nested on a line", nested("", 100_000), limit()));
        all.push(("nested on lines", nested("\n", 100_000), limit()));
        all.push(("nested within the limits", nested("\n", 250), Anything));
        all.push((
            "nested, never closed",
            format!("{head}let a = {}", format!("{open}\n").repeat(3000)),
            limit(),
        ));
    }
    all.push((
        "a line of 10 MB",
        format!("{head}let a = {}", "1 + ".repeat(2_500_000)),
        limit(),
    ));
    all.push((
        "10 MB of comments",
        "// a comment\n".repeat(800_000),
        limit(),
    ));
    all.push((
        "a file of comments",
        format!("{head}{}", "// a comment\n".repeat(75_000)),
        Nothing,
    ));
    all.push((
        "a file of doc comments",
        format!("{head}{}", "/// a comment\n".repeat(70_000)),
        Nothing,
    ));
    all.push(("NUL bytes", "\0".repeat(1_000_000), limit()));
    all.push((
        "lines of NUL bytes",
        format!("{head}{}", "\0\0\0\n".repeat(100_000)),
        Anything,
    ));
    all.push((
        "a NUL byte in a name",
        format!("{head}let a\0b = 1\n"),
        Anything,
    ));
    all.push((
        "replaced bytes",
        String::from_utf8_lossy(&[0xff; 300_000]).into_owned(),
        Anything,
    ));
    all.push((
        "quotes",
        format!("{head}{}", "let a = \"\n".repeat(90_000)),
        Anything,
    ));
    all.push((
        "keys",
        format!("{head}{}", "@key\n".repeat(150_000)),
        Anything,
    ));
    all.push((
        "strings behind keys",
        format!("{head}{}", "@key \"a\"\n".repeat(90_000)),
        Anything,
    ));
    all.push((
        "open braces",
        format!("{head}train t {{\n{}", "a { b { c\n".repeat(60)),
        Anything,
    ));
    all.push((
        "letters that declare nothing",
        format!("{head}block b(x: {}", "a\n".repeat(200_000)),
        Anything,
    ));
    let sizes = "block b(x: f32[batch, a = 99999999999999999999]) -> f32[batch, a = 99999999999999999999] { x }\n";
    all.push(("a size beyond 64 bits", format!("{head}{sizes}"), Anything));
    let beyond = "9".repeat(60);
    all.push((
        "a number beyond 128 bits",
        format!("{head}seed 1\nlet a = f32 + {beyond}\n"),
        Anything,
    ));
    let product = "let a = 18446744073709551615\nlet b = a * a * a * a\nblock c(x: f32[batch]) -> f32[batch, d = b] { x |> broadcast(d = b) }\n";
    all.push((
        "a product beyond 128 bits",
        format!("{head}{product}"),
        Anything,
    ));
    all.push((
        "repeat 10^12",
        format!("{head}{}", block("b", "x |> repeat(1000000000000, relu)")),
        Code("value::range"),
    ));
    all.push((
        "repeat 1e12",
        format!("{head}{}", block("b", "x |> repeat(1e12, relu)")),
        Anything,
    ));
    all.push(("blocks that double, uncalled", doubling(60), Nothing));
    let called = "model net(image: f32[batch, feature = 64]) -> f32[batch, feature = 64] {\n  image |> b60\n}\n";
    all.push(("blocks that double", doubling(60) + called, limit()));
    for (name, text) in many() {
        let wanted = match name.contains("choices") {
            true => limit(),
            false => Anything,
        };
        all.push((name, text, wanted));
    }
    let shapes = (1..2000).map(|n| format!("let s{n} = [s{}, a{n} = 2]\n", n - 1));
    let shapes = format!(
        "mmh 1\nlet s0 = [a0 = 2]\n{}block f(x: f32[batch, s1999]) -> like x {{\n  relu(x)\n}}\n",
        shapes.collect::<String>()
    );
    all.push(("shapes of shapes", shapes, limit()));
    let axes = (1..30_000).map(|n| format!("a{n} = {n}, "));
    let wide = format!("mmh 1\nlet s = [{}]\n", axes.collect::<String>());
    all.push(("a shape of many axes", wide, limit()));
    all
}

/// `each(0)`, `each(1)` and so on, as many as a file holds.
fn full(head: &str, each: impl Fn(usize) -> String, tail: &str) -> String {
    let mut text = format!("mmh 1\n{head}");
    let room = (1 << 20) - tail.len() - 100;
    for number in 0.. {
        let part = each(number);
        if text.len() + part.len() > room {
            break;
        }
        text.push_str(&part);
    }
    text + tail
}

/// Files filled with many of one thing.
fn many() -> Vec<(&'static str, String)> {
    let before = |number: usize| number.saturating_sub(1);
    let digits = r#"
data digits {
  source = csv("data/digits.csv")
  image: f32[pixel = 64] = source.pixels
  label: class[10] = source.digit
}
"#;
    let train = r#"
train fit {
  rows = digits.train |> batch(64)
  loss = cross_entropy(net(rows.image), rows.label)
  optimize = sgd(lr = 0.1)
  length = 3 steps
}
"#;
    let head = |body: &str| {
        format!(
            "seed 1\n{digits}model net(image: f32[batch, pixel = 64]) -> f32[batch, class = 10] {{\n  {body}\n}}\n"
        )
    };
    let mut all = Vec::new();
    let mut add = |name, text: String| all.push((name, text));
    let leaning = |n: usize| block(&format!("b{n}"), &format!("x |> b{}", before(n)));
    add("blocks that lean on the one before", full("", leaning, ""));
    let leaning = |n: usize| block(&format!("b{n}"), &format!("x |> b{}", n + 1));
    add("blocks that lean on the one behind", full("", leaning, ""));
    let unknown = |n: usize| block(&format!("b{n}"), "x |> rleu");
    add("blocks with an unknown step", full("", unknown, ""));
    let unknown = |n: usize| format!("let a{n} = b{n}\n");
    add("values that are unknown", full("", unknown, ""));
    add(
        "values that lean on the one before",
        full("", |n| format!("let a{n} = a{} + 1\n", before(n)), ""),
    );
    add(
        "values that lean on the one behind",
        full("", |n| format!("let a{n} = a{} + 1\n", n + 1), ""),
    );
    add(
        "values that grow",
        full(
            "let a0 = 3\n",
            |n| format!("let a{} = a{n} * a{n}\n", n + 1),
            "",
        ),
    );
    add("one name for all", full("", |_| "let a = 1\n".into(), ""));
    let body = |each: &dyn Fn(usize) -> String| {
        full(
            "block b(x: f32[batch, feature]) -> like x {\n",
            each,
            "  x\n}\n",
        )
    };
    add(
        "names in a body that lean on the one before",
        body(&|n| format!("let a{} = a{n}\n", n + 1)).replacen("a0", "x", 1),
    );
    add(
        "names in a body that lean on the first",
        body(&|n| format!("let a{n} = x + {n}\n")),
    );
    add("one name in a body", body(&|_| "let a = x\n".into()));
    add(
        "unknown names in a body",
        body(&|n| format!("let a{n} = c{n}\n")),
    );
    add(
        "a long flow",
        full(
            "block b(x: f32[batch, feature]) -> like x {\n  x\n",
            |_| "|> relu\n".into(),
            "}\n",
        ),
    );
    add("a long sum", full("let a = 1\n", |_| "+ 1\n".into(), ""));
    add(
        "a long list",
        full("let a = [1\n", |_| ", 1\n".into(), "]\n"),
    );
    add(
        "many axes",
        full(
            "block b(x: f32[batch\n",
            |n| format!(", a{n}\n"),
            "]) -> like x { x |> flatten(into = b) }\n",
        ),
    );
    add(
        "many parameters",
        full(
            "block b(x: f32[batch]\n",
            |n| format!(", a{n}: int = {n}\n"),
            ") -> like x { x }\n",
        ),
    );
    add(
        "many unknown arguments",
        full("let a = dropout(1\n", |n| format!(", a{n} = 1\n"), ")\n"),
    );
    add(
        "many unknown settings",
        full("train t {\n", |n| format!("a{n} = 1\n"), "}\n"),
    );
    add(
        "one setting many times",
        full("train t {\n", |_| "length = 1\n".into(), "}\n"),
    );
    add(
        "many columns",
        full(
            "data d {\nsource = csv(\"data/digits.csv\")\n",
            |n| format!("a{n}: f32 = source.digit\n"),
            "}\n",
        ),
    );
    add(
        "many unknown columns",
        full(
            "data d {\nsource = csv(\"data/digits.csv\")\n",
            |n| format!("a{n}: f32 = source.dogit\n"),
            "}\n",
        ),
    );
    add(
        "many trainings of one model",
        full(
            &head("image |> linear(class = 10)"),
            |n| train.replace("fit", &format!("fit{n}")),
            "",
        ),
    );
    let fed = |n: usize| {
        format!(
            "evaluate e{n} {{\n model = fit.last\n rows = digits.train\n metrics = [accuracy]\n}}\n"
        )
    };
    add(
        "many evaluations of a deep model",
        full(
            &(head("image |> linear(feature = 64) |> repeat(500, layer) |> linear(class = 10)")
                + &block("layer", "x |> linear(feature = feature)")
                + train),
            fed,
            "",
        ),
    );
    let wide = |n: usize| format!("let a{n} = 1 ~ choice(1, 2, 3)\n");
    add(
        "many choices",
        full(&(head("image |> linear(class = 10)") + train), wide, ""),
    );
    let sum = |n: usize| format!("let a{n} = 1 ~ choice(1, 2, 3)\n");
    let used: Vec<String> = (0..400)
        .map(|n| format!("|> linear(hidden = 8 * a{n})\n"))
        .collect();
    let small: String = (0..400).map(sum).collect();
    add(
        "a product of choices",
        format!(
            "mmh 1\n{}{train}{small}",
            head(&format!("image {} |> linear(class = 10)", used.concat()))
        ),
    );
    let floors: Vec<String> = (0..40)
        .map(|n| format!("let a{} = (a{n}//2) * (a{n}//3)\n", n + 1))
        .collect();
    add(
        "sizes inside each other",
        format!(
            "mmh 1\nblock b(x: f32[batch, feature]) -> f32[batch, feature = 1] {{\nlet a0 = feature\n{}\nx |> linear(feature = a40)\n}}\n",
            floors.concat()
        ),
    );
    let imports = |n: usize| format!("a{n}\n");
    add(
        "many names of a file",
        full("use \"digits.mmh\" {\n", imports, "}\n"),
    );
    all
}

#[test]
fn every_answer_is_quick_small_and_in_words() {
    let work = || {
        let mut wrong = Vec::new();
        for (name, text, wanted) in texts() {
            wrong.extend(answered(
                name,
                &Folder::examples(&text),
                "main.mmh",
                &wanted,
            ));
        }
        for (files, wanted) in [
            (1, Wanted::Anything),
            (2, Wanted::Anything),
            (50, Wanted::Anything),
            (10_000, Wanted::Code("limit::too-large")),
        ] {
            wrong.extend(answered(
                "files that use each other",
                &Imports(files),
                "0.mmh",
                &wanted,
            ));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(peak() < MOST_MEGABYTES, "{} MB", peak());
    };
    // The compiler has a stack of this size too.
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    thread.spawn(work).unwrap().join().unwrap();
}
