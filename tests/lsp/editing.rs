//! Texts that change under the questions, and clients that misbehave.

use crate::client::{Client, at, place};
use crate::{DIGITS, examples};
use serde_json::{Value, json};

#[test]
fn every_answer_is_about_the_text_at_its_question() {
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), DIGITS);
    let mut asked = Vec::new();
    for version in 2..=60_i64 {
        let wide = version * 8;
        let text = DIGITS.replace(
            "wide  = 24 ~ choice(16, 24, 32, 48)",
            &format!("wide = {wide}"),
        );
        client.replace(&uri, version, &text);
        if version % 5 == 0 {
            let params = at(&uri, &text, "conv(wide", 1);
            asked.push((client.begin("textDocument/hover", params), wide));
        }
    }
    for (id, wide) in asked {
        let hover = client.answer(id).expect("a hover");
        let said = hover["contents"]["value"].as_str().expect("text");
        assert!(
            said.contains(&format!("channel = {wide},")),
            "{wide}: {said}"
        );
    }
    // The last diagnostics are those of the last text, and versions never go back.
    let mut last = 0;
    while last < 60 {
        let (version, found) = client.diagnostics(&uri);
        assert!(version > last, "{version} after {last}");
        assert_eq!(found, Vec::<Value>::new());
        last = version;
    }
    assert_eq!(client.versions(), [0_i64; 0]);
    assert!(client.end().success());
}

#[test]
fn letters_typed_one_by_one_end_as_the_whole() {
    let (mut client, _) = Client::ready(&[]);
    let path = examples().join("typed.mmh");
    let uri = client.open(&path, "");
    let mut text = String::new();
    for (version, letter) in (2..).zip(DIGITS.chars()) {
        let end = place(&text, text.len());
        let change = json!([{ "range": { "start": end, "end": end }, "text": letter.to_string() }]);
        client.change(&uri, version, change);
        text.push(letter);
    }
    let hints = json!({
        "textDocument": { "uri": uri },
        "range": { "start": { "line": 0, "character": 0 }, "end": place(&text, text.len()) },
    });
    let typed = client
        .ask("textDocument/inlayHint", hints.clone())
        .expect("hints");
    client.replace(&uri, 100_000, DIGITS);
    let whole = client.ask("textDocument/inlayHint", hints).expect("hints");
    assert_eq!(typed, whole);
    assert!(typed.as_array().is_some_and(|hints| hints.len() > 20));
}

#[test]
fn bad_requests_are_refused_and_the_server_lives_on() {
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), DIGITS);
    let far = json!({ "textDocument": { "uri": uri }, "position": { "line": 99999, "character": 99999 } });
    for method in [
        "textDocument/hover",
        "textDocument/completion",
        "textDocument/definition",
    ] {
        client
            .ask(method, far.clone())
            .expect("a place beyond the text is its end");
    }
    let code = |answer: Result<Value, Value>| answer.expect_err("a refusal")["code"].as_i64();
    assert_eq!(
        code(client.ask("textDocument/nonsense", json!({}))),
        Some(-32601)
    );
    assert_eq!(
        code(client.ask("textDocument/hover", json!({ "a": 1 }))),
        Some(-32602)
    );
    assert_eq!(
        code(client.ask("textDocument/hover", json!([1, 2]))),
        Some(-32602)
    );
    let negative =
        json!({ "textDocument": { "uri": uri }, "position": { "line": -1, "character": 0 } });
    assert_eq!(
        code(client.ask("textDocument/hover", negative)),
        Some(-32602)
    );
    let closed = json!({ "textDocument": { "uri": "file:///not/open.mmh" }, "position": { "line": 0, "character": 0 } });
    assert_eq!(code(client.ask("textDocument/hover", closed)), Some(-32602));
    client.tell("textDocument/didChange", json!({ "nothing": true }));
    client.tell("$/unknown", json!({}));
    client.tell("$/cancelRequest", json!({ "id": 12345 }));
    let hover = client.ask("textDocument/hover", at(&uri, DIGITS, "conv(wide", 1));
    assert!(hover.is_ok_and(|hover| !hover.is_null()));
    assert!(client.end().success());
}

#[test]
fn broken_texts_are_answered_like_others() {
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), "");
    let broken = [
        "train {".repeat(200),
        "let a = ".to_owned() + &"(".repeat(5000),
        DIGITS[..DIGITS.len() / 2].to_owned(),
        DIGITS.replace(['{', '|'], ""),
        "\u{feff}mmh 1\r\nlet a\r= \u{1f600}".to_owned(),
        "\0\0".to_owned(),
    ];
    for (version, text) in (2..).zip(&broken) {
        client.replace(&uri, version, text);
        let end = place(text, text.len());
        let position = json!({ "textDocument": { "uri": uri }, "position": end });
        let range = json!({ "start": { "line": 0, "character": 0 }, "end": end });
        let whole = json!({ "textDocument": { "uri": uri }, "range": range });
        for method in [
            "hover",
            "completion",
            "signatureHelp",
            "definition",
            "documentHighlight",
        ] {
            client
                .ask(&format!("textDocument/{method}"), position.clone())
                .expect(method);
        }
        for method in [
            "documentSymbol",
            "inlayHint",
            "semanticTokens/full",
            "formatting",
        ] {
            client
                .ask(&format!("textDocument/{method}"), whole.clone())
                .expect(method);
        }
    }
}

#[test]
fn a_cancelled_request_is_still_answered() {
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), DIGITS);
    let ids: Vec<i64> = (0..50)
        .map(|_| client.begin("textDocument/hover", at(&uri, DIGITS, "conv(wide", 1)))
        .collect();
    for id in &ids {
        client.tell("$/cancelRequest", json!({ "id": id }));
    }
    for id in ids {
        if let Err(error) = client.answer(id) {
            assert_eq!(error["code"], -32800);
        }
    }
}

#[test]
fn endings_have_their_status() {
    let (client, _) = Client::ready(&[]);
    assert_eq!(client.end().code(), Some(0));
    let (client, _) = Client::ready(&[]);
    assert_eq!(client.leave(true).code(), Some(1));
    let (client, _) = Client::ready(&[]);
    assert_eq!(client.leave(false).code(), Some(1));
    assert_eq!(Client::start().leave(true).code(), Some(1));
    let mut client = Client::start();
    client.raw("this is no header\r\n\r\n");
    assert_eq!(client.leave(false).code(), Some(1));
    let mut client = Client::start();
    let early = client.ask("textDocument/hover", json!({}));
    assert_eq!(early.expect_err("too early")["code"], -32002);
}

#[test]
fn after_shutdown_nothing_is_answered() {
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), DIGITS);
    client.ask("shutdown", Value::Null).expect("it shuts down");
    let late = client.ask("textDocument/hover", at(&uri, DIGITS, "conv(wide", 1));
    assert_eq!(late.expect_err("too late")["code"], -32600);
    assert_eq!(client.leave(true).code(), Some(0));
}

#[test]
fn a_used_file_that_changes_is_seen_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = "mmh 1\n\nblock twice(x: f32[batch]) -> like x {\n  x * 2.0\n}\n";
    let main = "mmh 1\n\nuse \"parts.mmh\" { twice }\n\nblock both(x: f32[batch]) -> like x {\n  x |> twice\n}\n";
    std::fs::write(folder.path().join("parts.mmh"), parts).expect("a file");
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&folder.path().join("main.mmh"), main);
    assert_eq!(client.diagnostics(&uri), (1, vec![]));
    let used = client.open(&folder.path().join("parts.mmh"), parts);
    assert_eq!(client.diagnostics(&uri), (1, vec![]));
    client.replace(&used, 2, &parts.replace("twice", "thrice"));
    let (_, found) = client.diagnostics(&uri);
    assert!(
        found.iter().any(|d| d["code"] == "name::unknown"),
        "{found:?}"
    );
    // Closed without being saved, the file on the disk counts again.
    client.tell(
        "textDocument/didClose",
        json!({ "textDocument": { "uri": used } }),
    );
    assert_eq!(client.diagnostics(&uri), (1, vec![]));
}

/// While a text is written, only what an edit reaches is checked: that finds what a server finds that sees the text first.
#[test]
fn every_edit_leaves_what_a_fresh_look_finds() {
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), DIGITS);
    client.diagnostics(&uri);
    let edits = [
        ("decay = 1e-2", "decay = 1e-2, tide = 1"),
        ("data/digits.csv", "data/digit.csv"),
        ("class[10] = source.digit", "class[9] = source.digit"),
        ("relu(x + y)", "relu(x + "),
        ("  relu(x + y)", "  x |> conv(7, kernel = 3)"),
        ("to = 2 * wide", "to = 2 * deep"),
        ("block residual", "block residue"),
        ("choice(16, 24, 32, 48)", "choice(16, 24, 32, 48, 0)"),
        ("class = 10", "class = 11"),
        ("digits.valid", "digits.test"),
        ("fit.best", "fit.worst"),
        ("seed 20260101\n", ""),
        ("let depth = 2", "let depth = 2\nlet depth = 3"),
    ];
    let (mut version, mut mistakes) = (1, 0);
    for (from, to) in edits {
        assert!(DIGITS.contains(from), "{from}");
        for text in [DIGITS.replacen(from, to, 1), DIGITS.to_owned()] {
            version += 1;
            client.replace(&uri, version, &text);
            let (about, found) = client.diagnostics(&uri);
            let (mut fresh, _) = Client::ready(&[]);
            let same = fresh.open(&examples().join("digits.mmh"), &text);
            assert_eq!(
                (about, &found),
                (version, &fresh.diagnostics(&same).1),
                "{to}"
            );
            mistakes += found.len();
        }
    }
    assert!(mistakes >= edits.len(), "{mistakes}");
}
