//! Every request, asked of the binary.

use crate::client::{Client, at, place};
use crate::{DIGITS, examples};
use serde_json::{Value, json};

fn digits() -> (Client, String) {
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), DIGITS);
    (client, uri)
}

fn whole(uri: &str) -> Value {
    let range =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 9999, "character": 0 } });
    json!({ "textDocument": { "uri": uri }, "range": range })
}

#[test]
fn what_it_says_it_can_it_can() {
    let (mut client, about) = Client::ready(&[]);
    let uri = client.open(&examples().join("digits.mmh"), DIGITS);
    let position = at(&uri, DIGITS, "residual(x", 2);
    let with = |name: &str, value: Value| {
        let mut params = position.clone();
        params[name] = value;
        params
    };
    let context = json!({ "diagnostics": [] });
    let mut actions = whole(&uri);
    actions["context"] = context;
    let all = [
        ("hoverProvider", "textDocument/hover", position.clone()),
        (
            "completionProvider",
            "textDocument/completion",
            position.clone(),
        ),
        (
            "signatureHelpProvider",
            "textDocument/signatureHelp",
            position.clone(),
        ),
        (
            "definitionProvider",
            "textDocument/definition",
            position.clone(),
        ),
        (
            "referencesProvider",
            "textDocument/references",
            with("context", json!({ "includeDeclaration": true })),
        ),
        (
            "documentHighlightProvider",
            "textDocument/documentHighlight",
            position.clone(),
        ),
        (
            "documentSymbolProvider",
            "textDocument/documentSymbol",
            whole(&uri),
        ),
        ("codeActionProvider", "textDocument/codeAction", actions),
        (
            "documentFormattingProvider",
            "textDocument/formatting",
            with("options", json!({ "tabSize": 2, "insertSpaces": true })),
        ),
        (
            "renameProvider",
            "textDocument/rename",
            with("newName", json!("twice")),
        ),
        ("inlayHintProvider", "textDocument/inlayHint", whole(&uri)),
        (
            "semanticTokensProvider",
            "textDocument/semanticTokens/full",
            whole(&uri),
        ),
    ];
    let said: Vec<&String> = about.as_object().expect("an object").keys().collect();
    let said: Vec<&&String> = said
        .iter()
        .filter(|name| name.ends_with("Provider"))
        .collect();
    assert_eq!(said.len(), all.len(), "{said:?}");
    for (capability, method, params) in all {
        assert!(about.get(capability).is_some(), "{capability}");
        client.ask(method, params).expect(method);
    }
    assert_eq!(about["positionEncoding"], "utf-16");
    assert!(client.end().success());
}

#[test]
fn an_unknown_setting_is_found_and_mended() {
    let (mut client, _) = Client::ready(&[]);
    let text = DIGITS.replace("adamw(lr", "adamw(learning_rate");
    let uri = client.open(&examples().join("digits.mmh"), &text);
    let (version, found) = client.diagnostics(&uri);
    assert_eq!(version, 1);
    let [found] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(found["code"], "setting::unknown");
    assert_eq!(found["source"], "mmh");
    let help = found["message"].as_str().expect("a message");
    assert!(help.contains("did you mean `lr`?"), "{help}");
    let params = json!({
        "textDocument": { "uri": uri },
        "range": found["range"],
        "context": { "diagnostics": [found], "only": ["quickfix"] },
    });
    let actions = client
        .ask("textDocument/codeAction", params)
        .expect("actions");
    let edits = &actions[0]["edit"]["changes"][&uri];
    assert_eq!(edits[0]["newText"], "lr");
    client.change(
        &uri,
        2,
        json!([{ "range": edits[0]["range"], "text": "lr" }]),
    );
    assert_eq!(client.diagnostics(&uri), (2, vec![]));
}

#[test]
fn hovers_hints_and_signatures_know_the_shapes() {
    let (mut client, uri) = digits();
    let hover = client
        .ask("textDocument/hover", at(&uri, DIGITS, "conv(wide", 1))
        .expect("a hover");
    let said = hover["contents"]["value"].as_str().expect("text");
    assert!(said.contains("channel = 24"), "{said}");
    let hints = client
        .ask("textDocument/inlayHint", whole(&uri))
        .expect("hints");
    let labels: Vec<&str> = hints
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["label"].as_str().unwrap())
        .collect();
    for wanted in [
        ": f32[batch, channel = 48, height = 4, width = 4]",
        " 20 steps per epoch",
        " = 600 steps",
    ] {
        assert!(labels.contains(&wanted), "{wanted}: {labels:?}");
    }
    assert!(labels.iter().any(|label| label.ends_with(" parameters")));
    let signature = client
        .ask(
            "textDocument/signatureHelp",
            at(&uri, DIGITS, "kernel = 3", 2),
        )
        .expect("one");
    let active = signature["activeParameter"].as_u64().expect("a number") as usize;
    let label = &signature["signatures"][0]["parameters"][active]["label"];
    assert_eq!(label, "kernel = 3");
}

#[test]
fn completion_knows_the_columns_that_are_really_there() {
    let (mut client, _) = Client::ready(&[]);
    let text = DIGITS.replace("source.pixels / 16", "source.");
    let uri = client.open(&examples().join("digits.mmh"), &text);
    let list = client
        .ask("textDocument/completion", at(&uri, &text, "source.\n", 7))
        .expect("a list");
    let labels: Vec<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["label"].as_str().unwrap())
        .collect();
    assert!(
        labels.contains(&"pixels") && labels.contains(&"digit"),
        "{labels:?}"
    );
    let list = client
        .ask("textDocument/completion", at(&uri, &text, "30 epochs", 3))
        .expect("a list");
    let labels: Vec<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["label"].as_str().unwrap())
        .collect();
    assert!(
        labels.contains(&"steps") && !labels.contains(&"conv"),
        "{labels:?}"
    );
}

#[test]
fn names_are_followed_and_changed_across_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = "mmh 1\n\nblock twice(x: f32[batch]) -> like x {\n  x * 2.0\n}\n";
    let main = "mmh 1\n\nuse \"parts.mmh\" { twice }\n\nblock both(x: f32[batch]) -> like x {\n  x |> twice |> silu\n}\n";
    let (first, second) = (
        folder.path().join("main.mmh"),
        folder.path().join("parts.mmh"),
    );
    std::fs::write(&first, main).expect("a file");
    std::fs::write(&second, parts).expect("a file");
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&first, main);
    assert_eq!(client.diagnostics(&uri), (1, vec![]));
    let place = client
        .ask("textDocument/definition", at(&uri, main, "|> twice", 4))
        .expect("a place");
    let used = format!("file://{}", second.display());
    assert_eq!(place["uri"], json!(used));
    let mut params = at(&uri, main, "|> twice", 4);
    params["newName"] = json!("double");
    let edit = client.ask("textDocument/rename", params).expect("changes");
    assert_eq!(edit["changes"][&uri].as_array().map(Vec::len), Some(2));
    assert_eq!(edit["changes"][&used].as_array().map(Vec::len), Some(1));
    // The file that is used knows who uses it, also where that one is only on the disk.
    client.tell(
        "textDocument/didClose",
        json!({ "textDocument": { "uri": uri } }),
    );
    let used = client.open(&second, parts);
    let mut params = at(&used, parts, "twice", 1);
    params["context"] = json!({ "includeDeclaration": false });
    let places = client
        .ask("textDocument/references", params)
        .expect("places");
    assert_eq!(places.as_array().map(Vec::len), Some(2), "{places}");
    let library = client.open(&first, main);
    let place = client
        .ask("textDocument/definition", at(&library, main, "silu", 1))
        .expect("a place");
    let path = place["uri"]
        .as_str()
        .and_then(|uri| uri.strip_prefix("file://"))
        .expect("a file");
    let text = std::fs::read_to_string(path).expect("the library can be opened");
    let line = place["range"]["start"]["line"].as_u64().expect("a line") as usize;
    assert!(
        text.lines()
            .nth(line)
            .is_some_and(|line| line.starts_with("block silu")),
        "{path}"
    );
}

#[test]
fn a_part_in_a_folder_may_use_what_lies_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = "mmh 1\n\nlet wide = 3\n";
    let part = "mmh 1\n\nuse \"../shared.mmh\" { wide }\n\nblock widen(x: f32[batch, feature]) -> f32[batch, feature = 3] {\n  x |> linear(feature = wide)\n}\n";
    std::fs::create_dir(folder.path().join("parts")).expect("a folder");
    std::fs::write(folder.path().join("shared.mmh"), shared).expect("a file");
    let path = folder.path().join("parts/part.mmh");
    std::fs::write(&path, part).expect("a file");
    let (mut client, _) = Client::ready(&[]);
    let uri = client.open(&path, part);
    assert_eq!(client.diagnostics(&uri), (1, vec![]));
    let mut params = at(&uri, part, "= wide)", 3);
    let place = client
        .ask("textDocument/definition", params.clone())
        .expect("a place");
    let used = format!("file://{}", folder.path().join("shared.mmh").display());
    assert_eq!(place["uri"], json!(used));
    params["newName"] = json!("size");
    let edit = client.ask("textDocument/rename", params).expect("changes");
    assert_eq!(edit["changes"][&uri].as_array().map(Vec::len), Some(2));
    assert_eq!(edit["changes"][&used].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_renamed_says_why() {
    let (mut client, uri) = digits();
    let fault = client.ask(
        "textDocument/prepareRename",
        at(&uri, DIGITS, "conv(wide", 1),
    );
    let message = fault.expect_err("a refusal")["message"].to_string();
    assert!(message.contains("belongs to the language"), "{message}");
    let good = client
        .ask("textDocument/prepareRename", at(&uri, DIGITS, "depth", 1))
        .expect("a name");
    assert_eq!(good["placeholder"], "depth");
}

#[test]
fn outlines_colours_and_layout() {
    let (mut client, _) = Client::ready(&[]);
    let text = DIGITS.replace("let depth = 2", "let   depth   =   2");
    let uri = client.open(&examples().join("digits.mmh"), &text);
    let params = json!({ "textDocument": { "uri": uri }, "options": { "tabSize": 2, "insertSpaces": true } });
    let edits = client
        .ask("textDocument/formatting", params)
        .expect("edits");
    assert_eq!(edits[0]["newText"], json!(DIGITS));
    let outline = client
        .ask("textDocument/documentSymbol", whole(&uri))
        .expect("symbols");
    let names: Vec<&str> = outline
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert!(
        names.starts_with(&["depth", "wide", "digits", "gentle"]),
        "{names:?}"
    );
    let tokens = client
        .ask("textDocument/semanticTokens/full", whole(&uri))
        .expect("tokens");
    let data = tokens["data"].as_array().expect("numbers");
    assert!(data.len() > 1000 && data.len().is_multiple_of(5));
    let line = text[..text.find("model net").unwrap()]
        .matches('\n')
        .count();
    let range = json!({ "start": { "line": line, "character": 0 }, "end": { "line": line + 1, "character": 0 } });
    let params = json!({ "textDocument": { "uri": uri }, "range": range });
    let some = client
        .ask("textDocument/semanticTokens/range", params)
        .expect("tokens");
    let some = some["data"].as_array().expect("numbers");
    assert_eq!(
        (some[0].as_u64(), some.len() < 100),
        (Some(line as u64), true)
    );
}

#[test]
fn mistakes_are_found_while_the_data_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut client, _) = Client::ready(&[]);
    let text = DIGITS.replace("adamw(lr", "adamw(learning_rate");
    let uri = client.open(&folder.path().join("digits.mmh"), &text);
    let (_, found) = client.diagnostics(&uri);
    let codes: Vec<&str> = found.iter().map(|d| d["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"data::missing-file"), "{codes:?}");
    assert!(codes.contains(&"setting::unknown"), "{codes:?}");
    // Once it is there, the next look finds it.
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    let data = examples().join("data/digits.csv");
    std::fs::copy(data, folder.path().join("data/digits.csv")).expect("a copy");
    client.tell("workspace/didChangeWatchedFiles", json!({ "changes": [] }));
    let (_, found) = client.diagnostics(&uri);
    let codes: Vec<&str> = found.iter().map(|d| d["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["setting::unknown"]);
}

#[test]
fn columns_are_counted_as_agreed() {
    let text = "mmh 1\n\n// 😀\nblock b(x: f32[batch]) -> like x {\n  /* */ x\n}\n";
    let text = text.replace("  /* */ x", "  x |> relu // ä😀\n    |> rel");
    let comment = "let s = \"ä😀\" let t = relux(1)\n";
    let text = format!("{text}{comment}");
    let path = std::env::temp_dir().join("units.mmh");
    let byte = text.find("relux").expect("it");
    let line = text[..byte].rfind('\n').expect("a line") + 1;
    let columns = [
        ("utf-8", byte - line),
        ("utf-16", text[line..byte].encode_utf16().count()),
    ];
    for (encoding, column) in columns {
        let (mut client, about) = Client::ready(&[encoding, "utf-16"]);
        assert_eq!(about["positionEncoding"], encoding);
        let uri = client.open(&path, &text);
        let (_, found) = client.diagnostics(&uri);
        let starts: Vec<&Value> = found.iter().map(|d| &d["range"]["start"]).collect();
        let wanted = json!({ "line": text[..byte].matches('\n').count(), "character": column });
        assert!(starts.contains(&&wanted), "{encoding}: {starts:?}");
        // The same place goes in again.
        let params = json!({ "textDocument": { "uri": uri }, "position": wanted });
        let list = client
            .ask("textDocument/completion", params)
            .expect("a list");
        assert_eq!(
            list["items"][0]["textEdit"]["range"]["start"], wanted,
            "{encoding}"
        );
    }
    assert_eq!(place(&text, byte)["character"], json!(columns[1].1));
}
