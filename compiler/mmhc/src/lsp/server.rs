//! What the server knows, and who answers which request.

use super::answers::{self, Markdown, Ready};
use super::documents::{Document, Documents};
use super::project;
use super::text::{Encoding, Lines};
use super::uri;
use super::world::Folders;
use lsp_server::{ErrorCode, Notification};
use lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    InitializeParams, MarkupKind, PositionEncodingKind, TextDocumentPositionParams,
};
use mmh_ide::Analysis;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A request that panics, to test that the server lives on.
#[cfg(test)]
pub(super) const PANIC: &str = "mmh/panic";

/// Why a request has no answer.
pub(super) type Refusal = (ErrorCode, String);

/// One client's server.
pub(super) struct Server {
    pub(super) encoding: Encoding,
    /// The client can show other places with a diagnostic.
    pub(super) related: bool,
    /// The client checks the versions that changes are for.
    versioned: bool,
    markdown: Markdown,
    /// The folders the client works in.
    workspaces: Vec<PathBuf>,
    pub(super) open: Documents,
    folders: Folders,
    analyses: BTreeMap<PathBuf, Rc<Analysis>>,
    /// Texts whose diagnostics are to be sent.
    stale: BTreeSet<PathBuf>,
    /// The text that changed last: its diagnostics are sent first.
    latest: PathBuf,
    /// Addresses whose diagnostics are to be taken away.
    closed: Vec<String>,
}

/// How much of a text an answer needs to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Its mistakes and what its names mean.
    Mistakes,
    /// Types, shapes and numbers of rows as well.
    All,
}

fn note(params: Value) -> Notification {
    Notification::new("textDocument/publishDiagnostics".to_owned(), params)
}

/// The diagnostics of a text, with the version they are about.
fn told(ready: &Ready<'_>) -> Value {
    json!({
        "uri": ready.document.uri,
        "version": ready.document.version,
        "diagnostics": ready.diagnostics(),
    })
}

/// Reads a request's parameters.
pub(super) fn read<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params).map_err(|error| (ErrorCode::InvalidParams, error.to_string()))
}

fn versioned(asked: &InitializeParams) -> bool {
    let workspace = asked.capabilities.workspace.as_ref();
    let edits = workspace.and_then(|workspace| workspace.workspace_edit.as_ref());
    edits.and_then(|edits| edits.document_changes) == Some(true)
}

fn markdown(asked: &InitializeParams) -> Markdown {
    let shows = |formats: Option<&Vec<MarkupKind>>| {
        formats.is_some_and(|formats| formats.contains(&MarkupKind::Markdown))
    };
    let Some(text) = &asked.capabilities.text_document else {
        return Markdown::default();
    };
    let hover = text.hover.as_ref();
    let item = text
        .completion
        .as_ref()
        .and_then(|it| it.completion_item.as_ref());
    let help = text.signature_help.as_ref();
    let signature = help.and_then(|it| it.signature_information.as_ref());
    Markdown {
        hover: shows(hover.and_then(|it| it.content_format.as_ref())),
        completion: shows(item.and_then(|it| it.documentation_format.as_ref())),
        signature: shows(signature.and_then(|it| it.documentation_format.as_ref())),
    }
}

#[expect(deprecated, reason = "older clients name their one folder so")]
fn workspaces(asked: &InitializeParams) -> Vec<PathBuf> {
    let path = |uri: &lsp_types::Uri| uri::path_of(uri.as_str());
    match &asked.workspace_folders {
        Some(folders) if !folders.is_empty() => {
            folders.iter().map(|folder| path(&folder.uri)).collect()
        }
        _ => asked.root_uri.iter().map(path).collect(),
    }
}

impl Server {
    pub(super) fn new(asked: &InitializeParams) -> Self {
        let general = asked.capabilities.general.as_ref();
        let encodings = general.and_then(|general| general.position_encodings.as_ref());
        let utf8 = encodings.is_some_and(|all| all.contains(&PositionEncodingKind::UTF8));
        let documents = asked.capabilities.text_document.as_ref();
        let diagnostics = documents.and_then(|documents| documents.publish_diagnostics.as_ref());
        Self {
            encoding: match utf8 {
                true => Encoding::Utf8,
                false => Encoding::Utf16,
            },
            related: diagnostics.and_then(|about| about.related_information) == Some(true),
            versioned: versioned(asked),
            markdown: markdown(asked),
            workspaces: workspaces(asked),
            open: Documents::new(),
            folders: Folders::default(),
            analyses: BTreeMap::new(),
            stale: BTreeSet::new(),
            latest: PathBuf::new(),
            closed: Vec::new(),
        }
    }

    /// What this server can do, in the protocol's words.
    pub(super) fn capabilities(&self) -> Value {
        let kinds: Vec<&str> = mmh_ide::TokenKind::ALL
            .iter()
            .map(|kind| kind.word())
            .collect();
        json!({
            "positionEncoding": match self.encoding {
                Encoding::Utf8 => "utf-8",
                Encoding::Utf16 => "utf-16",
            },
            "textDocumentSync": { "openClose": true, "change": 2, "save": true },
            "hoverProvider": true,
            "completionProvider": { "triggerCharacters": [".", ">", "(", ",", "~", ":"] },
            "signatureHelpProvider": { "triggerCharacters": ["(", ","] },
            "definitionProvider": true,
            "referencesProvider": true,
            "documentHighlightProvider": true,
            "documentSymbolProvider": true,
            "codeActionProvider": { "codeActionKinds": ["quickfix"] },
            "documentFormattingProvider": true,
            "renameProvider": { "prepareProvider": true },
            "inlayHintProvider": true,
            "semanticTokensProvider": {
                "legend": { "tokenTypes": kinds, "tokenModifiers": answers::MODIFIERS },
                "full": true,
                "range": true,
            },
        })
    }

    /// Takes a notification. One that cannot be read, or that nothing here needs, changes nothing.
    pub(super) fn note(&mut self, method: &str, params: Value) {
        // A notification has no answer, so a refusal has nowhere to go.
        let _ = match method {
            "textDocument/didOpen" => read(params).map(|params| self.opened(params)),
            "textDocument/didChange" => read(params).map(|params| self.changed(params)),
            "textDocument/didClose" => read(params).map(|params| self.closed(&params)),
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => {
                let open: Vec<PathBuf> = self.open.keys().cloned().collect();
                open.iter().for_each(|path| self.touched(path));
                Ok(())
            }
            _ => Ok(()),
        };
    }

    fn opened(&mut self, params: DidOpenTextDocumentParams) {
        let it = params.text_document;
        let path = uri::path_of(it.uri.as_str());
        let document = Document {
            uri: it.uri.as_str().to_owned(),
            version: it.version,
            text: it.text,
        };
        self.open.insert(path.clone(), document);
        self.touched(&path);
    }

    fn changed(&mut self, params: DidChangeTextDocumentParams) {
        let path = uri::path_of(params.text_document.uri.as_str());
        if let Some(document) = self.open.get_mut(&path) {
            let version = params.text_document.version;
            document.change(version, params.content_changes, self.encoding);
            self.touched(&path);
        }
    }

    fn closed(&mut self, params: &DidCloseTextDocumentParams) {
        let path = uri::path_of(params.text_document.uri.as_str());
        if let Some(document) = self.open.remove(&path) {
            self.closed.push(document.uri);
        }
        self.touched(&path);
        self.stale.remove(&path);
        self.folders.forget(&path);
    }

    /// Forgets what was known of a text and of those that may use it.
    fn touched(&mut self, path: &Path) {
        self.latest = path.to_path_buf();
        for (other, document) in &self.open {
            if other == path || document.text.contains("use") {
                self.analyses.remove(other);
                self.stale.insert(other.clone());
            }
        }
        self.analyses.remove(path);
    }

    /// The diagnostics of every text that changed since the last time, each with the version it is about.
    pub(super) fn publish(&mut self) -> Vec<Notification> {
        let empty = |uri: String| json!({ "uri": uri, "diagnostics": [] });
        let mut all: Vec<Value> = std::mem::take(&mut self.closed)
            .into_iter()
            .map(empty)
            .collect();
        let stale = std::mem::take(&mut self.stale);
        let (first, rest): (Vec<_>, Vec<_>) = stale.into_iter().partition(|p| *p == self.latest);
        for path in first.iter().chain(&rest) {
            all.extend(self.ready(path, Depth::Mistakes).map(|ready| told(&ready)));
        }
        all.into_iter().map(note).collect()
    }

    /// Whether all is known of every open text.
    pub(super) fn is_settled(&self) -> bool {
        self.analyses.values().all(|analysis| analysis.is_whole())
    }

    /// Checks whole what was checked in part while it was being written. Diagnostics are sent again where they differ.
    pub(super) fn settle(&mut self) -> Vec<Notification> {
        let parts = self.analyses.iter().filter(|known| !known.1.is_whole());
        let parts: Vec<_> = parts
            .map(|(path, known)| (path.clone(), known.clone()))
            .collect();
        let mut all = Vec::new();
        for (path, before) in parts {
            let ready = self.ready(&path, Depth::All);
            let ready = ready.filter(|r| r.analysis.diagnostics() != before.diagnostics());
            all.extend(ready.map(|ready| note(told(&ready))));
        }
        all
    }

    /// The folder in which a text's paths start: its own, or the project's root where it uses files beside its folder, as
    /// a part of a recipe may.
    fn base(&self, path: &Path) -> PathBuf {
        let own = path.parent().unwrap_or(Path::new(""));
        let leaves = self
            .open
            .get(path)
            .is_some_and(|document| document.text.contains("\"../"));
        match leaves {
            true => project::root(own, &self.workspaces),
            false => own.to_path_buf(),
        }
    }

    /// An open text with its analysis.
    fn ready(&mut self, path: &Path, depth: Depth) -> Option<Ready<'_>> {
        if !self.open.contains_key(path) {
            return None;
        }
        let base = self.base(path);
        let known = self.analyses.get(path);
        let known = known.filter(|known| depth == Depth::Mistakes || known.is_whole());
        let analysis = match known {
            Some(known) => known.clone(),
            None => {
                let made = self
                    .folders
                    .with(path, &base, &self.open, |world, main, earlier| {
                        let earlier = earlier.filter(|_| depth == Depth::Mistakes);
                        let again =
                            earlier.and_then(|earlier| Analysis::again(world, main, earlier));
                        again.map_or_else(|| Analysis::first(world, main), |again| (again, None))
                    });
                let made = Rc::new(made);
                self.analyses.insert(path.to_path_buf(), made.clone());
                made
            }
        };
        let document = self.open.get(path)?;
        Some(Ready {
            lines: Lines::new(&document.text, self.encoding),
            folder: base,
            path: path.to_path_buf(),
            document,
            analysis,
            encoding: self.encoding,
            related: self.related,
            versioned: self.versioned,
            markdown: self.markdown,
            workspaces: &self.workspaces,
            open: &self.open,
        })
    }

    /// Answers a request.
    pub(super) fn ask(&mut self, method: &str, params: Value) -> Result<Value, Refusal> {
        #[cfg(test)]
        if method == PANIC {
            fall();
        }
        let answer: fn(&Ready<'_>, Value) -> Result<Value, Refusal> = match method {
            "textDocument/hover" => |ready, params| ready.hover(params),
            "textDocument/completion" => |ready, params| ready.completion(params),
            "textDocument/signatureHelp" => |ready, params| ready.signature(params),
            "textDocument/definition" => |ready, params| ready.definition(params),
            "textDocument/references" => |ready, params| ready.references(params),
            "textDocument/documentHighlight" => |ready, params| ready.highlights(params),
            "textDocument/documentSymbol" => |ready, params| ready.symbols(params),
            "textDocument/codeAction" => |ready, params| ready.actions(params),
            "textDocument/formatting" => |ready, params| ready.formatting(params),
            "textDocument/prepareRename" => |ready, params| ready.prepare_rename(params),
            "textDocument/rename" => |ready, params| ready.rename(params),
            "textDocument/inlayHint" => |ready, params| ready.hints(params),
            "textDocument/semanticTokens/full" | "textDocument/semanticTokens/range" => {
                |ready, params| ready.tokens(params)
            }
            _ => {
                let message = format!("`{method}` is not in this version");
                return Err((ErrorCode::MethodNotFound, message));
            }
        };
        let uri = params.pointer("/textDocument/uri").and_then(Value::as_str);
        let Some(uri) = uri.map(str::to_owned) else {
            return Err((ErrorCode::InvalidParams, "no document is named".to_owned()));
        };
        let depth = match method {
            "textDocument/hover"
            | "textDocument/completion"
            | "textDocument/signatureHelp"
            | "textDocument/inlayHint" => Depth::All,
            _ => Depth::Mistakes,
        };
        match self.ready(&uri::path_of(&uri), depth) {
            Some(ready) => answer(&ready, params),
            None => Err((ErrorCode::InvalidParams, format!("`{uri}` is not open"))),
        }
    }
}

#[cfg(test)]
#[expect(clippy::panic, reason = "to test that the server lives on")]
fn fall() -> ! {
    panic!("on purpose")
}

/// The byte a request is about.
pub(super) fn offset(lines: &Lines<'_>, params: &Value) -> Result<u32, Refusal> {
    let at: TextDocumentPositionParams = read(params.clone())?;
    Ok(lines.offset(at.position))
}
