//! Findings as other programs read them: JSON of our own, and SARIF 2.1.0 (OASIS standard, 27 March 2020).

use crate::findings::{Finding, Lines, Report, SourceFile, count};
use mmh_diag::{Code, Fix, Label, Severity, Span};
use serde_json::{Map, Value, json};

/// All findings as one JSON document. Lines and columns count from 1, columns in characters; offsets in bytes from 0.
pub(crate) fn json(reports: &[Report]) -> Value {
    let counts = count(reports);
    let all = reports.iter().flat_map(|report| {
        report
            .findings
            .iter()
            .map(|finding| finding_json(finding, report))
    });
    json!({
        "diagnostics": all.collect::<Vec<_>>(),
        "summary": { "errors": counts.errors, "warnings": counts.warnings, "notes": counts.notes },
    })
}

fn finding_json(finding: &Finding, report: &Report) -> Value {
    let label = |label: &Label| {
        let Range { file, start, end } = range(report, label);
        json!({ "file": file, "primary": label.primary, "text": label.text, "start": start, "end": end })
    };
    let primary = finding.primary();
    let fix = |fix: &Fix| {
        let edits = fix.edits.iter().map(|edit| {
            let place = primary.map(|label| Label {
                span: edit.span,
                ..label.clone()
            });
            let Range { file, start, end } =
                place.map_or_else(Range::default, |place| range(report, &place));
            json!({ "file": file, "start": start, "end": end, "text": edit.text })
        });
        json!({ "title": fix.title, "edits": edits.collect::<Vec<_>>() })
    };
    json!({
        "code": finding.code,
        "severity": finding.severity.word(),
        "message": finding.message,
        "help": finding.help,
        "labels": finding.labels.iter().map(label).collect::<Vec<_>>(),
        "fixes": finding.fixes.iter().map(fix).collect::<Vec<_>>(),
    })
}

#[derive(Default)]
struct Range {
    file: Value,
    start: Value,
    end: Value,
}

fn range(report: &Report, label: &Label) -> Range {
    let Some(file) = report.source(label.source) else {
        return Range::default();
    };
    let lines = Lines::new(&file.text);
    let place = |offset: u32| {
        let (line, column) = lines.place(offset);
        json!({ "line": line, "column": column, "offset": offset })
    };
    Range {
        file: json!(file.name),
        start: place(label.span.start),
        end: place(label.span.end),
    }
}

/// All findings as a SARIF log of one run.
pub(crate) fn sarif(reports: &[Report]) -> Value {
    let results = reports.iter().flat_map(|report| {
        report
            .findings
            .iter()
            .map(|finding| result(finding, report))
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "mmhc",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": Code::ALL.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.name(),
        "shortDescription": { "text": code.title() },
        "help": { "text": format!("mmhc explain {}", code.name()), "markdown": code.page() },
    })
}

fn result(finding: &Finding, report: &Report) -> Value {
    let message = match &finding.help {
        Some(help) => format!("{}\nhelp: {help}", finding.message),
        None => finding.message.clone(),
    };
    let primary = finding.primary();
    let mut result = Map::new();
    let mut put = |name: &str, value: Value| result.insert(name.to_owned(), value);
    put("ruleId", json!(finding.code));
    if let Some(index) = Code::ALL
        .iter()
        .position(|code| code.name() == finding.code)
    {
        put("ruleIndex", json!(index));
    }
    put("level", json!(level(finding.severity)));
    put("message", json!({ "text": message }));
    put(
        "locations",
        primary
            .iter()
            .map(|label| location(report, label, None))
            .collect(),
    );
    let is_other = |label: &&Label| !primary.is_some_and(|primary| std::ptr::eq(*label, primary));
    let others: Vec<Value> = finding
        .labels
        .iter()
        .filter(is_other)
        .enumerate()
        .map(|(number, label)| location(report, label, Some(number + 1)))
        .collect();
    if !others.is_empty() {
        put("relatedLocations", json!(others));
    }
    let file = primary.and_then(|primary| report.source(primary.source));
    if let Some(file) = file.filter(|_| !finding.fixes.is_empty()) {
        put(
            "fixes",
            finding
                .fixes
                .iter()
                .map(|fix| fix_sarif(fix, file))
                .collect(),
        );
    }
    Value::Object(result)
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn location(report: &Report, label: &Label, number: Option<usize>) -> Value {
    let mut place = Map::new();
    if let Some(number) = number {
        place.insert("id".to_owned(), json!(number));
    }
    if let Some(file) = report.source(label.source) {
        let physical = json!({
            "artifactLocation": { "uri": uri(&file.name) },
            "region": region(file, label.span),
        });
        place.insert("physicalLocation".to_owned(), physical);
    }
    if !label.text.is_empty() {
        place.insert("message".to_owned(), json!({ "text": label.text }));
    }
    Value::Object(place)
}

fn region(file: &SourceFile, span: Span) -> Value {
    let lines = Lines::new(&file.text);
    let ((line, column), (end_line, end_column)) = (lines.place(span.start), lines.place(span.end));
    json!({
        "startLine": line,
        "startColumn": column,
        "endLine": end_line,
        "endColumn": end_column,
        "byteOffset": span.start,
        "byteLength": span.len(),
    })
}

fn fix_sarif(fix: &Fix, file: &SourceFile) -> Value {
    let replacements = fix.edits.iter().map(|edit| {
        json!({ "deletedRegion": region(file, edit.span), "insertedContent": { "text": edit.text } })
    });
    json!({
        "description": { "text": fix.title },
        "artifactChanges": [{
            "artifactLocation": { "uri": uri(&file.name) },
            "replacements": replacements.collect::<Vec<_>>(),
        }],
    })
}

/// A path as a URI reference (RFC 3986): bytes that may not stand there are escaped.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.replace('\\', "/").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("a b/ä.mmh"), "a%20b/%C3%A4.mmh");
        assert_eq!(uri("/x/y.mmh"), "file:///x/y.mmh");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
}
