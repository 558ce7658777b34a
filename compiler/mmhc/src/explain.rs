//! `mmhc explain`: the page of a code.

use crate::args::ExplainArgs;
use crate::outcome::{Failure, Outcome};
use crate::system;
use mmh_diag::{Code, suggest};
use std::fmt::Write;

pub(crate) fn explain(args: &ExplainArgs) -> Outcome {
    let colour = system::colour(system::stdout_is_terminal());
    let Some(name) = &args.code else {
        system::say(&list(colour));
        return Ok(());
    };
    match Code::find(name.trim()) {
        Some(code) => {
            system::say(&page(code.page(), colour));
            Ok(())
        }
        None => Err(Failure::Usage(unknown(name))),
    }
}

fn unknown(name: &str) -> String {
    let names = || Code::ALL.iter().map(|code| code.name());
    // A name without its family is near enough.
    let bare = || names().find(|full| full.split_once("::").is_some_and(|(_, last)| last == name));
    match suggest(name, names()).or_else(bare) {
        Some(near) => format!("there is no code `{name}`; did you mean `{near}`?"),
        None => format!("there is no code `{name}`; `mmhc explain` lists them all"),
    }
}

fn list(colour: bool) -> String {
    let width = Code::ALL
        .iter()
        .map(|code| code.name().len())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    let mut family = "";
    for code in Code::ALL {
        if !family.is_empty() && family != code.family() {
            out.push('\n');
        }
        family = code.family();
        let pad = width - code.name().len();
        let _ = writeln!(
            out,
            "{}{:pad$}  {}",
            bold(code.name(), colour),
            "",
            code.title()
        );
    }
    out
}

/// A page for a terminal: headings stand out, code is indented, the marks of Markdown are gone.
fn page(markdown: &str, colour: bool) -> String {
    let mut out = String::new();
    let mut code = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            code = !code;
        } else if code {
            let _ = writeln!(out, "    {}", cyan(line, colour));
        } else if let Some(heading) = line.strip_prefix("# ").or(line.strip_prefix("## ")) {
            let _ = writeln!(out, "{}", bold(heading, colour));
        } else {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn bold(text: &str, colour: bool) -> String {
    match colour {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

fn cyan(text: &str, colour: bool) -> String {
    match colour {
        true if !text.is_empty() => format!("\u{1b}[36m{text}\u{1b}[0m"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lose_their_marks() {
        let text = page("# a::b\n\n## Wrong\n\n```mmh\nx = 1\n```\n", false);
        assert_eq!(text, "a::b\n\nWrong\n\n    x = 1\n");
        assert!(page("# a::b\n", true).starts_with("\u{1b}[1ma::b"));
    }

    #[test]
    fn slips_are_answered_with_the_nearest() {
        assert!(unknown("unit::mising").contains("`unit::missing`"));
        assert!(unknown("double-softmax").contains("`loss::double-softmax`"));
        assert!(unknown("zzz").contains("lists them all"));
    }
}
