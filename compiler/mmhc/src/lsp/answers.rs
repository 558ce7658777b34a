//! What `mmh-ide` says, in the protocol's words.

use super::documents::{Document, Documents};
use super::project;
use super::server::{Refusal, offset, read};
use super::text::{Encoding, Lines};
use super::uri;
use crate::system;
use lsp_server::ErrorCode;
use lsp_types::{CodeActionParams, Range, RenameParams};
use mmh_check::SourceText;
use mmh_diag::{Diagnostic, Edit, Label, Severity, Span};
use mmh_ide::{
    Analysis, Completion, CompletionKind, FileId, MAIN, Outline, Project, SymbolKind, Token,
    TokenKind,
};
use mmh_syntax::ast::BlockKind;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What a coloured word may be besides its kind.
pub(super) const MODIFIERS: [&str; 3] = ["declaration", "defaultLibrary", "documentation"];

/// An open text, ready to be asked about.
pub(super) struct Ready<'s> {
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) document: &'s Document,
    pub(super) analysis: Rc<Analysis>,
    pub(super) lines: Lines<'s>,
    pub(super) encoding: Encoding,
    pub(super) related: bool,
    pub(super) versioned: bool,
    pub(super) markdown: Markdown,
    pub(super) workspaces: &'s [PathBuf],
    pub(super) open: &'s Documents,
}

type Answer = Result<Value, Refusal>;

impl Ready<'_> {
    // ---- places ----

    fn range(&self, span: Span) -> Value {
        json!(self.lines.range(span))
    }

    fn uri_of(&self, file: &SourceText, id: Option<FileId>) -> Option<String> {
        if id == Some(MAIN) {
            return Some(self.document.uri.clone());
        }
        let path = match file.library {
            true => library_file(file)?,
            false => uri::plain(&self.folder.join(&file.path)),
        };
        Some(self.uri_at(&path))
    }

    /// The address of a path: the client's own where the text is open.
    fn uri_at(&self, path: &Path) -> String {
        let known = self.open.get(path).map(|document| document.uri.clone());
        known.unwrap_or_else(|| uri::of_path(path))
    }

    /// Changes of texts. Where the client can check them, they name the versions they are for, so that an answer which
    /// comes too late changes nothing.
    fn changes(&self, changes: Vec<(PathBuf, Value)>) -> Value {
        if !self.versioned {
            let all: Map<String, Value> = changes
                .into_iter()
                .map(|(path, edits)| (self.uri_at(&path), edits))
                .collect();
            return json!({ "changes": all });
        }
        let all: Vec<Value> = changes
            .into_iter()
            .map(|(path, edits)| {
                let version = self.open.get(&path).map(|document| document.version);
                let about = json!({ "uri": self.uri_at(&path), "version": version });
                json!({ "textDocument": about, "edits": edits })
            })
            .collect();
        json!({ "documentChanges": all })
    }

    fn location(&self, file: &SourceText, id: Option<FileId>, span: Span) -> Option<Value> {
        let range = Lines::new(&file.text, self.encoding).range(span);
        Some(json!({ "uri": self.uri_of(file, id)?, "range": range }))
    }

    // ---- diagnostics ----

    pub(super) fn diagnostics(&self) -> Vec<Value> {
        let found = self.analysis.diagnostics().iter();
        found.map(|found| self.diagnostic(found)).collect()
    }

    fn diagnostic(&self, found: &Diagnostic) -> Value {
        let mut message = found.message.clone();
        let primary = found.primary();
        let file = primary.map_or(MAIN, |label| label.source.0 as usize);
        let span = match primary {
            Some(label) if file == MAIN => label.span,
            // A mistake in a file that is used is shown where it is used.
            _ => {
                if let Some(file) = self.analysis.sources().get(file) {
                    message = format!("`{}`: {message}", file.path);
                }
                self.analysis.used_at(file).unwrap_or_default()
            }
        };
        if let Some(help) = &found.help {
            message.push_str("\nhelp: ");
            message.push_str(help);
        }
        let mut out = json!({
            "range": self.range(span),
            "severity": match found.severity {
                Severity::Error => 1,
                Severity::Warning => 2,
                Severity::Note => 3,
            },
            "code": found.code.name(),
            "source": "mmh",
            "message": message,
        });
        let related: Vec<Value> = found
            .labels
            .iter()
            .filter(|label| !label.text.is_empty() || label.source.0 as usize != MAIN)
            .filter_map(|label| self.related(label))
            .collect();
        if self.related && !related.is_empty() {
            insert(&mut out, "relatedInformation", json!(related));
        }
        out
    }

    fn related(&self, label: &Label) -> Option<Value> {
        let id = label.source.0 as usize;
        let file = self.analysis.sources().get(id)?;
        let message = match label.text.as_str() {
            "" => "here",
            text => text,
        };
        let location = self.location(file, Some(id), label.span)?;
        Some(json!({ "location": location, "message": message }))
    }

    // ---- requests ----

    pub(super) fn hover(&self, params: Value) -> Answer {
        let found = self.analysis.hover(offset(&self.lines, &params)?);
        Ok(found.map_or(Value::Null, |hover| {
            json!({
                "contents": words(&hover.markdown, self.markdown.hover),
                "range": self.range(hover.span),
            })
        }))
    }

    pub(super) fn completion(&self, params: Value) -> Answer {
        let items = self.analysis.completions(offset(&self.lines, &params)?);
        let items = items.iter().enumerate();
        let items: Vec<Value> = items.map(|(at, item)| self.item(at, item)).collect();
        Ok(json!({ "isIncomplete": false, "items": items }))
    }

    fn item(&self, at: usize, item: &Completion) -> Value {
        let mut out = json!({
            "label": item.label,
            "kind": completion_kind(item.kind),
            "sortText": format!("{at:05}"),
            "filterText": item.label,
            "textEdit": { "range": self.range(item.replaces), "newText": item.insert },
        });
        if !item.detail.is_empty() {
            insert(&mut out, "detail", json!(item.detail));
        }
        if !item.doc.is_empty() {
            let doc = documentation(&item.doc, self.markdown.completion);
            insert(&mut out, "documentation", doc);
        }
        out
    }

    pub(super) fn signature(&self, params: Value) -> Answer {
        let Some(found) = self.analysis.signature(offset(&self.lines, &params)?) else {
            return Ok(Value::Null);
        };
        let parameters: Vec<Value> = found
            .parameters
            .iter()
            .map(|parameter| json!({ "label": parameter.label, "documentation": parameter.doc }))
            .collect();
        let mut signature = json!({
            "label": found.label,
            "documentation": documentation(&found.doc, self.markdown.signature),
            "parameters": parameters,
        });
        let mut out = json!({ "activeSignature": 0 });
        if let Some(active) = found.active {
            insert(&mut signature, "activeParameter", json!(active));
            insert(&mut out, "activeParameter", json!(active));
        }
        insert(&mut out, "signatures", json!([signature]));
        Ok(out)
    }

    pub(super) fn definition(&self, params: Value) -> Answer {
        let place = self.analysis.definition(offset(&self.lines, &params)?);
        let location = place.and_then(|place| {
            let file = self.analysis.sources().get(place.file)?;
            self.location(file, Some(place.file), place.span)
        });
        Ok(location.unwrap_or(Value::Null))
    }

    pub(super) fn references(&self, params: Value) -> Answer {
        let at = offset(&self.lines, &params)?;
        let with = params.pointer("/context/includeDeclaration");
        let with = with.and_then(Value::as_bool).unwrap_or(true);
        let declared = self.analysis.definition(at);
        let declared = declared.and_then(|place| {
            let file = self.analysis.sources().get(place.file)?;
            Some((uri::plain(&self.folder.join(&file.path)), place.span))
        });
        let (root, project) = self.project();
        let found = self.analysis.references(at, &project);
        let places = found.iter().map(|(file, span)| {
            let path = uri::plain(&root.join(&file.path));
            (path, file, *span)
        });
        let places = places
            .filter(|(path, _, span)| with || declared.as_ref() != Some(&(path.clone(), *span)));
        let places = places.map(|(path, file, span)| {
            let range = Lines::new(&file.text, self.encoding).range(span);
            json!({ "uri": self.uri_at(&path), "range": range })
        });
        Ok(places.collect())
    }

    pub(super) fn highlights(&self, params: Value) -> Answer {
        let spans = self.analysis.highlights(offset(&self.lines, &params)?);
        let ranges = spans
            .iter()
            .map(|span| json!({ "range": self.range(*span) }));
        Ok(ranges.collect())
    }

    pub(super) fn symbols(&self, _: Value) -> Answer {
        let outline = self.analysis.outline();
        Ok(outline.iter().map(|entry| self.symbol(entry)).collect())
    }

    fn symbol(&self, entry: &Outline) -> Value {
        let children: Vec<Value> = entry
            .children
            .iter()
            .map(|child| self.symbol(child))
            .collect();
        json!({
            "name": entry.name,
            "detail": entry.detail,
            "kind": symbol_kind(entry.kind),
            "range": self.range(entry.span),
            "selectionRange": self.range(entry.name_span),
            "children": children,
        })
    }

    pub(super) fn actions(&self, params: Value) -> Answer {
        let params: CodeActionParams = read(params)?;
        let wanted = params.context.only.as_ref().is_none_or(|kinds| {
            kinds
                .iter()
                .any(|kind| "quickfix".starts_with(kind.as_str()))
        });
        if !wanted {
            return Ok(json!([]));
        }
        let found = self.analysis.actions(self.lines.span(params.range));
        let actions = found.iter().map(|action| {
            let mends = self.analysis.diagnostics().get(action.mends);
            let mends: Vec<Value> = mends.into_iter().map(|found| self.diagnostic(found)).collect();
            json!({
                "title": action.title,
                "kind": "quickfix",
                "isPreferred": true,
                "diagnostics": mends,
                "edit": self.changes(vec![(self.path.clone(), self.edits(&self.lines, &action.edits))]),
            })
        });
        Ok(actions.collect())
    }

    fn edits(&self, lines: &Lines<'_>, edits: &[Edit]) -> Value {
        let edits = edits
            .iter()
            .map(|edit| json!({ "range": lines.range(edit.span), "newText": edit.text }));
        edits.collect()
    }

    pub(super) fn formatting(&self, _: Value) -> Answer {
        let text = &self.document.text;
        let formatted = self.analysis.formatted();
        let Some(formatted) = formatted.filter(|formatted| formatted != text) else {
            return Ok(json!([]));
        };
        let all = Span::new(0, text.len() as u32);
        Ok(json!([{ "range": self.range(all), "newText": formatted }]))
    }

    pub(super) fn prepare_rename(&self, params: Value) -> Answer {
        let span = self.analysis.renameable(offset(&self.lines, &params)?);
        let span = span.map_err(|fault| (ErrorCode::RequestFailed, fault.0))?;
        let name = span.text(&self.document.text);
        Ok(json!({ "range": self.range(span), "placeholder": name }))
    }

    pub(super) fn rename(&self, params: Value) -> Answer {
        let at = offset(&self.lines, &params)?;
        let asked: RenameParams = read(params)?;
        let (root, project) = self.project();
        let changes = self
            .analysis
            .rename(at, &asked.new_name, &project)
            .map_err(|fault| (ErrorCode::RequestFailed, fault.0))?;
        let changes = changes.into_iter().map(|change| {
            let lines = Lines::new(&change.text, self.encoding);
            let path = uri::plain(&root.join(&change.path));
            (path, self.edits(&lines, &change.edits))
        });
        Ok(self.changes(changes.collect()))
    }

    pub(super) fn hints(&self, params: Value) -> Answer {
        let range: Range = read(params.get("range").cloned().unwrap_or_default())?;
        let hints = self.analysis.hints(self.lines.span(range));
        let hints = hints.iter().map(|hint| {
            let mut out = json!({
                "position": self.lines.position(hint.offset),
                "label": hint.label,
                "tooltip": hint.tooltip,
            });
            if hint.label.starts_with(':') {
                insert(&mut out, "kind", json!(1));
            }
            out
        });
        Ok(hints.collect())
    }

    pub(super) fn tokens(&self, params: Value) -> Answer {
        let within = match params.get("range") {
            Some(range) => self.lines.span(read(range.clone())?),
            None => Span::new(0, u32::MAX),
        };
        let mut data: Vec<u32> = Vec::new();
        let (mut line, mut column) = (0, 0);
        for token in self.analysis.tokens(within) {
            let at = self.lines.position(token.span.start);
            let same = at.line == line;
            let text = token.span.text(&self.document.text);
            data.extend([
                at.line - line,
                at.character - if same { column } else { 0 },
                self.lines.length(text.trim_end_matches('\r')),
                kind_number(token.kind),
                modifiers(&token),
            ]);
            (line, column) = (at.line, at.character);
        }
        Ok(json!({ "data": data }))
    }

    /// The project's root and its other recipes, which may use this text.
    fn project(&self) -> (PathBuf, Project) {
        let root = project::root(&self.folder, self.workspaces);
        let mut paths = project::recipes(&root);
        let open = self.open.keys().filter(|path| path.starts_with(&root));
        paths.extend(open.cloned());
        paths.sort_unstable();
        paths.dedup();
        let texts = paths
            .iter()
            .filter(|path| **path != self.path)
            .filter_map(|path| {
                let name = project::below(&root, path)?;
                let text = match self.open.get(path) {
                    Some(document) => document.text.clone(),
                    None => system::read_text(path).ok()?,
                };
                Some((name, text))
            });
        let project = Project {
            folder: project::below(&root, &self.folder).unwrap_or_default(),
            files: texts.collect(),
        };
        (root, project)
    }
}

/// Where the client shows Markdown; elsewhere it is given plain text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Markdown {
    pub(super) hover: bool,
    pub(super) completion: bool,
    pub(super) signature: bool,
}

/// What a hover says, with marks where they are shown.
fn words(markdown: &str, shown: bool) -> Value {
    if shown {
        return json!({ "kind": "markdown", "value": markdown });
    }
    json!({ "kind": "plaintext", "value": plain(markdown) })
}

/// The same for a documentation, which a client that says nothing of its form takes as a bare string.
fn documentation(markdown: &str, shown: bool) -> Value {
    if shown {
        return json!({ "kind": "markdown", "value": markdown });
    }
    json!(plain(markdown))
}

fn plain(markdown: &str) -> String {
    let lines = markdown.lines().filter(|line| !line.starts_with("```"));
    let plain: Vec<String> = lines.map(|line| line.replace('`', "")).collect();
    plain.join("\n")
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// A file of the standard library, written where an editor can open it.
fn library_file(file: &SourceText) -> Option<PathBuf> {
    let hash = blake3::hash(file.text.as_bytes()).to_hex();
    let short = hash.get(..16)?;
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = base
        .unwrap_or_else(std::env::temp_dir)
        .join("mmh")
        .join(short);
    let path = folder.join(&file.path);
    if std::fs::read_to_string(&path).is_ok_and(|text| text == file.text) {
        return Some(path);
    }
    std::fs::create_dir_all(path.parent()?).ok()?;
    std::fs::write(&path, &file.text).ok()?;
    Some(path)
}

fn kind_number(kind: TokenKind) -> u32 {
    let all = TokenKind::ALL.iter();
    all.take_while(|other| **other != kind).count() as u32
}

fn modifiers(token: &Token) -> u32 {
    u32::from(token.declares) | u32::from(token.library) << 1 | u32::from(token.documents) << 2
}

fn completion_kind(kind: CompletionKind) -> u32 {
    match kind {
        CompletionKind::Setting => 10,
        CompletionKind::Function => 3,
        CompletionKind::Model => 7,
        CompletionKind::Section => 9,
        CompletionKind::Value => 6,
        CompletionKind::Axis => 25,
        CompletionKind::Member => 5,
        CompletionKind::Unit => 11,
        CompletionKind::Type => 22,
        CompletionKind::Keyword => 14,
    }
}

fn symbol_kind(kind: SymbolKind) -> u32 {
    match kind {
        SymbolKind::Let => 14,
        SymbolKind::Block(BlockKind::Model) => 5,
        SymbolKind::Block(BlockKind::Block | BlockKind::Augment) => 12,
        SymbolKind::Section(_) => 3,
        SymbolKind::Param | SymbolKind::Local => 13,
        SymbolKind::Column => 8,
        SymbolKind::Setting => 7,
    }
}
