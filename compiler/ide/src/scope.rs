//! The walk that gives every name its meaning, with the scopes it passes.

use crate::FileId;
use crate::calls::{AXES, COLUMNS, takes_axes};
use crate::files::SourceFile;
use crate::names::{Names, Place, SymbolKind, Target, item_at};
use crate::shapes::{axes_of_shape, is_shape_type};
use mmh_check::editor;
use mmh_syntax::ast::{
    Arg, Axis, Block, Body, Call, Expr, Item, Let, Name, Path, Section, SectionKind, Type,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The walk through one file.
pub(crate) struct Walk<'n> {
    names: &'n mut Names,
    files: &'n [Arc<SourceFile>],
    file: FileId,
    scopes: Vec<BTreeMap<String, Target>>,
    /// The data section that `rows` of this section are of.
    rows: Option<Place>,
}

/// What an expression stands for where it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Value,
    Axes,
    /// A value, or a bracket with names of axes.
    Shape,
}

impl<'n> Walk<'n> {
    pub(crate) fn new(names: &'n mut Names, files: &'n [Arc<SourceFile>], file: FileId) -> Self {
        Self {
            names,
            files,
            file,
            scopes: Vec::new(),
            rows: None,
        }
    }

    pub(crate) fn file(&mut self, source: &SourceFile) {
        for item in &source.ast.items {
            match item {
                Item::Use(it) => {
                    for name in &it.names {
                        self.name(name);
                    }
                }
                Item::Seed(_) => {}
                Item::Let(it) => self.let_value(it),
                Item::Block(block) => self.block(block),
                Item::Section(section) => self.section(section),
            }
        }
    }

    fn place(&self, name: &Name) -> Place {
        Place {
            file: self.file,
            span: name.span,
        }
    }

    fn occurs(&mut self, name: &Name, target: Target) {
        let place = self.place(name);
        self.names.occurs(place, target);
    }

    fn declare(&mut self, name: &Name, kind: SymbolKind, owner: Option<Place>) {
        let place = self
            .names
            .symbol(self.file, &name.text, name.span, kind, owner);
        self.bind(&name.text, Target::Symbol(place));
    }

    fn bind(&mut self, name: &str, target: Target) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), target);
        }
    }

    fn find(&self, name: &str) -> Option<Target> {
        let mut scopes = self.scopes.iter().rev();
        scopes
            .find_map(|scope| scope.get(name).cloned())
            .or_else(|| {
                let tops = self.names.tops.get(self.file)?;
                tops.get(name).map(|place| Target::Symbol(*place))
            })
            .or_else(|| {
                let mut all = mmh_check::primitive_signatures();
                all.find(|p| p.0 == name).map(|p| Target::Primitive(p.0))
            })
    }

    /// A name on its own.
    fn name(&mut self, name: &Name) -> Option<Target> {
        let target = self.find(&name.text)?;
        self.occurs(name, target.clone());
        Some(target)
    }

    fn let_value(&mut self, it: &Let) {
        self.scopes.push(BTreeMap::new());
        self.typed_value(it);
        self.scopes.pop();
    }

    fn block(&mut self, block: &Block) {
        let owner = Some(self.place(&block.name));
        self.scopes.push(BTreeMap::new());
        for param in &block.params {
            self.axes_of(&param.ty);
        }
        // Types may name a shape that stands behind them.
        for param in &block.params {
            self.declare(&param.name, SymbolKind::Param, owner);
        }
        for param in &block.params {
            self.ty(&param.ty);
            if let Some(default) = &param.default {
                self.expr(default, way_of(&param.ty));
            }
        }
        if let Some(ty) = &block.returns {
            self.ty(ty);
        }
        self.body(&block.body, owner);
        self.scopes.pop();
    }

    /// A bare axis name is also its size.
    fn axes_of(&mut self, ty: &Type) {
        if let Type::Named {
            axes: Some(axes), ..
        } = ty
        {
            for axis in axes {
                if let Axis::Named { name, size } = axis
                    && (size.is_some() || self.shape_of(name).is_none())
                {
                    self.bind(&name.text, Target::Axis);
                }
            }
        }
    }

    fn body(&mut self, body: &Body, owner: Option<Place>) {
        for local in &body.locals {
            self.typed_value(local);
            self.declare(&local.name, SymbolKind::Local, owner);
        }
        if let Some(result) = &body.result {
            self.expr(result, As::Value);
        }
    }

    fn typed_value(&mut self, it: &Let) {
        let mut way = As::Value;
        if let Some(ty) = &it.ty {
            self.ty(ty);
            way = way_of(ty);
        }
        self.expr(&it.value, way);
    }

    fn ty(&mut self, ty: &Type) {
        match ty {
            Type::Named { axes, .. } => {
                for axis in axes.iter().flatten() {
                    self.axis(axis);
                }
            }
            Type::Like { of, .. } => self.path(of),
            Type::Missing(_) => {}
        }
    }

    fn axis(&mut self, axis: &Axis) {
        match axis {
            Axis::Rest(_) => {}
            Axis::Named { name, size: None } => self.axis_word(name),
            Axis::Named {
                name,
                size: Some(size),
            } => {
                self.occurs(name, Target::Axis);
                self.expr(size, As::Value);
            }
            Axis::Size(size) => self.expr(size, As::Value),
        }
    }

    /// A name in a bracket of axes: an axis, or what stands for some.
    fn axis_word(&mut self, name: &Name) {
        let target = match self.find(&name.text) {
            Some(Target::Symbol(place)) if self.is_axis_param(place) => Target::Symbol(place),
            _ => self.shape_of(name).map_or(Target::Axis, Target::Symbol),
        };
        self.occurs(name, target);
    }

    /// Where a name is declared, if it is that of a shape.
    fn shape_of(&self, name: &Name) -> Option<Place> {
        match self.find(&name.text)? {
            Target::Symbol(place) => axes_of_shape(self.names, self.files, place).map(|_| place),
            _ => None,
        }
    }

    fn section(&mut self, section: &Section) {
        let owner = section.name.as_ref().map(|name| self.place(name));
        self.scopes.push(BTreeMap::new());
        let outer = self.rows;
        if section.kind == SectionKind::Data {
            self.columns(section, owner);
        }
        for field in &section.fields {
            if let Some(ty) = &field.ty {
                self.ty(ty);
            }
            if field.name.text == "rows" {
                self.rows = self.data_of(&field.value);
            }
            let choices = editor::setting_choices(section.kind, &field.name.text);
            self.chosen(&field.value, choices);
            if section.kind != SectionKind::Data {
                self.declare(&field.name, SymbolKind::Setting, owner);
            }
        }
        self.rows = outer;
        self.scopes.pop();
    }

    /// Columns see each other and `source`, whatever their order.
    fn columns(&mut self, section: &Section, owner: Option<Place>) {
        for field in &section.fields {
            let kind = match field.ty {
                Some(_) => SymbolKind::Column,
                None => SymbolKind::Setting,
            };
            self.declare(&field.name, kind, owner);
        }
    }

    /// The value of a setting that is called out of a closed list, or a list of such.
    fn chosen(&mut self, expr: &Expr, choices: &[editor::Callable]) {
        let known = |name: &str| choices.iter().any(|choice| choice.0 == name);
        match expr.ungrouped() {
            Expr::List { items, .. } if !choices.is_empty() => {
                for item in items {
                    self.chosen(item, choices);
                }
            }
            Expr::Path(path) if path.single().is_some_and(|name| known(&name.text)) => {
                if let Some(name) = path.single() {
                    self.occurs(name, Target::Choice);
                }
            }
            Expr::Call(call) if call.callee.single().is_some_and(|n| known(&n.text)) => {
                if let Some(name) = call.callee.single() {
                    self.occurs(name, Target::Choice);
                }
                self.closed_args(call);
            }
            _ => self.expr(expr, As::Value),
        }
    }

    fn closed_args(&mut self, call: &Call) {
        for arg in &call.args {
            if let Some(name) = &arg.name {
                self.occurs(name, Target::Setting(call.callee.text()));
            }
            self.expr(&arg.value, As::Value);
        }
    }

    /// The data section at the left end of a flow of rows.
    fn data_of(&self, expr: &Expr) -> Option<Place> {
        match expr.ungrouped() {
            Expr::Pipe { lhs, .. } => self.data_of(lhs),
            Expr::Path(path) => match self.find(&path.names.first()?.text)? {
                Target::Symbol(place) => Some(place),
                _ => None,
            },
            Expr::Call(call) => self.data_of(&call.args.first()?.value),
            _ => None,
        }
    }

    fn expr(&mut self, expr: &Expr, way: As) {
        match expr {
            Expr::Number { .. }
            | Expr::Quantity { .. }
            | Expr::Text(_)
            | Expr::Bool { .. }
            | Expr::Rest(_)
            | Expr::Missing(_) => {}
            Expr::Path(path) => self.word(path, way),
            Expr::Call(call) => self.call(call),
            Expr::List { items, .. } => {
                let way = if way == As::Shape { As::Axes } else { way };
                items.iter().for_each(|item| self.expr(item, way));
            }
            Expr::Shape { axes, .. } => axes.iter().for_each(|axis| self.axis(axis)),
            Expr::Unary { operand: inner, .. } | Expr::Group { inner, .. } => self.expr(inner, way),
            Expr::Binary { lhs: a, rhs: b, .. }
            | Expr::Pipe { lhs: a, rhs: b, .. }
            | Expr::Range { lo: a, hi: b, .. } => {
                self.expr(a, As::Value);
                self.expr(b, As::Value);
            }
            Expr::Choice { default, space, .. } => {
                self.expr(default, way);
                self.chosen(space, editor::spaces());
            }
            Expr::If {
                condition,
                then,
                otherwise,
                ..
            } => {
                for part in [condition, then, otherwise] {
                    self.expr(part, way);
                }
            }
            Expr::Section(section) => self.section(section),
        }
    }

    fn word(&mut self, path: &Path, way: As) {
        let Some(name) = path.single().filter(|_| way == As::Axes) else {
            return self.path(path);
        };
        self.axis_word(name);
    }

    fn is_axis_param(&self, place: Place) -> bool {
        let symbol = self.names.symbols.get(&place);
        let owner = symbol
            .filter(|s| s.kind == SymbolKind::Param)
            .and_then(|s| s.owner);
        let Some(Item::Block(block)) = owner.and_then(|owner| item_at(self.files, owner)) else {
            return false;
        };
        let param = block.params.iter().find(|p| p.name.span == place.span);
        param.is_some_and(|p| is_axis_type(&p.ty))
    }

    fn path(&mut self, path: &Path) {
        let [head, members @ ..] = path.names.as_slice() else {
            return;
        };
        if head.text == "rows" || head.text == "client" {
            self.name(head);
            return self.row_members(members, self.rows);
        }
        match self.name(head) {
            Some(Target::Symbol(place)) => self.members(place, members),
            _ if head.text == "source" => self.source_members(members),
            _ => {}
        }
    }

    fn source_members(&mut self, members: &[Name]) {
        for (at, member) in members.iter().enumerate() {
            let target = match at {
                0 => Target::SourceColumn,
                _ => Target::Member,
            };
            self.occurs(member, target);
        }
    }

    fn row_members(&mut self, members: &[Name], data: Option<Place>) {
        let [first, rest @ ..] = members else { return };
        let column = data.and_then(|data| self.field_of(data, &first.text));
        self.occurs(first, column.map_or(Target::Member, Target::Symbol));
        for member in rest {
            self.occurs(member, Target::Member);
        }
    }

    /// `digits.train`, `digits.label.classes`, `fit.watch`, `tune.best.net`.
    fn members(&mut self, owner: Place, members: &[Name]) {
        let symbol = self.names.symbols.get(&owner).cloned();
        let kind = symbol.as_ref().map(|symbol| symbol.kind);
        if kind == Some(SymbolKind::Setting) && symbol.is_some_and(|s| s.name == "source") {
            return self.source_members(members);
        }
        for member in members {
            let own = match kind {
                Some(SymbolKind::Section(_)) => self.field_of(owner, &member.text),
                _ => None,
            };
            let top = match kind {
                Some(SymbolKind::Section(SectionKind::Train | SectionKind::Search)) => {
                    let tops = self.names.tops.get(self.file);
                    tops.and_then(|tops| tops.get(&member.text).copied())
                }
                _ => None,
            };
            let target = own.or(top).map_or(Target::Member, Target::Symbol);
            self.occurs(member, target);
        }
    }

    /// The place of a column or setting of a section.
    fn field_of(&self, owner: Place, name: &str) -> Option<Place> {
        let Some(Item::Section(section)) = item_at(self.files, owner) else {
            return None;
        };
        let mut fields = section.fields.iter();
        let field = fields.find(|field| field.name.text == name)?;
        if section.kind == SectionKind::Data && field.ty.is_none() {
            return None;
        }
        Some(Place {
            file: owner.file,
            span: field.name.span,
        })
    }

    fn call(&mut self, call: &Call) {
        let Some(callee) = call.callee.single() else {
            return self.path(&call.callee);
        };
        let target = self.name(callee);
        let mut place = 0;
        for arg in &call.args {
            match &target {
                Some(Target::Symbol(block)) => self.block_arg(*block, arg),
                Some(Target::Primitive(name)) => self.primitive_arg(name, arg, place),
                _ => self.expr(&arg.value, As::Value),
            }
            place += usize::from(arg.name.is_none());
        }
    }

    fn block_arg(&mut self, place: Place, arg: &Arg) {
        let Some(name) = &arg.name else {
            return self.expr(&arg.value, As::Value);
        };
        let mut way = As::Value;
        if let Some(Item::Block(block)) = item_at(self.files, place)
            && let Some(param) = block.params.iter().find(|p| p.name.text == name.text)
        {
            way = way_of(&param.ty);
            let span = param.name.span;
            let target = Target::Symbol(Place {
                file: place.file,
                span,
            });
            self.occurs(name, target);
        }
        self.expr(&arg.value, way);
    }

    fn primitive_arg(&mut self, primitive: &'static str, arg: &Arg, place: usize) {
        let settings = editor::primitive_settings(primitive).map_or(&[][..], |(all, _)| all);
        let Some(name) = &arg.name else {
            // What flows in takes the first place, so either of two may be meant.
            let axes = [place, place + 1]
                .iter()
                .filter_map(|at| settings.get(*at))
                .any(|setting| takes_axes(primitive, setting));
            let bare = matches!(arg.value, Expr::Path(_) | Expr::List { .. });
            let way = if axes && bare { As::Axes } else { As::Value };
            return self.expr(&arg.value, way);
        };
        if settings.contains(&name.text.as_str()) {
            self.occurs(name, Target::Setting(primitive.to_owned()));
            let axes = takes_axes(primitive, &name.text);
            return self.expr(&arg.value, if axes { As::Axes } else { As::Value });
        }
        if COLUMNS.contains(&primitive) {
            let column = self
                .rows_in_reach()
                .and_then(|d| self.field_of(d, &name.text));
            self.occurs(name, column.map_or(Target::Member, Target::Symbol));
        } else {
            self.occurs(name, Target::Axis);
        }
        let way = if AXES.contains(&primitive) {
            As::Axes
        } else {
            As::Value
        };
        self.expr(&arg.value, way);
    }

    fn rows_in_reach(&self) -> Option<Place> {
        self.rows
    }
}

fn way_of(ty: &Type) -> As {
    match () {
        () if is_axis_type(ty) => As::Axes,
        () if is_shape_type(ty) => As::Shape,
        () => As::Value,
    }
}

fn is_axis_type(ty: &Type) -> bool {
    matches!(ty, Type::Named { name, axes: None, .. } if name.text == "axis" || name.text == "axes")
}
