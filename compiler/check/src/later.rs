//! Sections that are checked but that this version cannot run: `search`, `export`, `federate`.

use crate::core::Cx;
use crate::recipe::NotYet;
use mmh_syntax::ast::SectionKind;

const SEARCH: &[&str] = &["run", "maximize", "minimize", "method", "propose", "budget"];
const EXPORT: &[&str] = &["model", "to", "verify"];
const FEDERATE: &[&str] = &[
    "clients", "local", "invite", "wait", "combine", "privacy", "length", "watch",
];

impl Cx<'_> {
    /// Checks the sections of later versions and lists them.
    pub(crate) fn check_later(&mut self) -> Vec<NotYet> {
        let mut all = Vec::new();
        let program = self.program;
        for (kind, known) in [
            (SectionKind::Search, SEARCH),
            (SectionKind::Export, EXPORT),
            (SectionKind::Federate, FEDERATE),
        ] {
            for (_, section, source) in program.sections(kind) {
                self.source = source;
                let name = section.name.as_ref().map_or("", |n| n.text.as_str());
                self.settings(section, name, known);
                all.push(NotYet {
                    section: format!("{} {name}", kind.word()),
                    span: section.name.as_ref().map_or(section.kind_span, |n| n.span),
                });
            }
        }
        all
    }
}
