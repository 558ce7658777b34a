//! The limits that are checked before the grammar sees the text, so that no input can exhaust the stack or the clock.

use mmh_diag::Span;

/// Bytes in a file.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Bytes in a line.
pub(crate) const MAX_LINE: usize = 16 << 10;
/// Brackets, signs and conditions inside each other.
pub(crate) const MAX_DEPTH: usize = 256;

/// A limit that a text exceeds.
pub(crate) struct Excess {
    /// Where it is exceeded.
    pub(crate) span: Span,
    /// What is too large.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: &'static str,
}

/// The first limit that `source` exceeds, in one pass over its bytes.
pub(crate) fn excess(source: &str) -> Option<Excess> {
    if source.len() > MAX_BYTES {
        let message = format!(
            "this file has {} bytes, and at most {MAX_BYTES} are read",
            source.len()
        );
        let help =
            "keep data in files of their own, and take declarations from other files with `use`";
        return Some(Excess {
            span: Span::at(0),
            message,
            help,
        });
    }
    let mut start = 0;
    for line in source.split('\n') {
        if line.len() > MAX_LINE {
            let message = format!(
                "this line has {} bytes, and at most {MAX_LINE} are read",
                line.len()
            );
            return Some(Excess {
                span: Span::at(start as u32),
                message,
                help: "break the line",
            });
        }
        start += line.len() + 1;
    }
    let at = Depth::default().first_too_deep(source)?;
    let message = format!("this is nested more than {MAX_DEPTH} deep");
    let span = Span::new(at as u32, at as u32 + 1);
    Some(Excess {
        span,
        message,
        help: "give the inner parts names with `let`",
    })
}

/// What is open: brackets by their character, `i` for an `if` whose braces have not come. Each with the signs that stand
/// before the operand it waits for. Never less than what the grammar itself may have open at that byte.
#[derive(Default)]
struct Depth {
    open: Vec<(u8, usize)>,
    signs: usize,
    total: usize,
}

impl Depth {
    fn first_too_deep(mut self, source: &str) -> Option<usize> {
        let bytes = source.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let length = self.token(*byte, bytes.get(at..).unwrap_or(&[]));
            if self.total > MAX_DEPTH {
                return Some(at);
            }
            at += length.max(1);
        }
        None
    }

    /// Takes one token and says how long it is.
    fn token(&mut self, first: u8, rest: &[u8]) -> usize {
        let next = rest.get(1).copied().unwrap_or(b' ');
        let divides = next == b'/'
            && rest
                .get(2)
                .is_some_and(|byte| is_word(*byte) || *byte == b'(');
        match first {
            b'/' if next == b'/' && !divides => return run(rest, |byte| byte != b'\n'),
            b'"' => {
                self.operand();
                return string(rest);
            }
            b' ' | b'\t' | b'\r' | b'\n' => return 1,
            b'(' | b'[' | b'{' => self.opens(first),
            b')' => self.closes(b'('),
            b']' => self.closes(b'['),
            b'}' => self.closes(b'{'),
            b'-' => self.sign(),
            _ if is_word(first) => return self.word(rest),
            _ => self.operand(),
        }
        1
    }

    fn word(&mut self, rest: &[u8]) -> usize {
        let length = run(rest, is_word);
        match rest.get(..length) {
            Some(b"not") => self.sign(),
            Some(b"if") => self.opens(b'i'),
            _ => self.operand(),
        }
        length
    }

    fn sign(&mut self) {
        self.signs += 1;
        self.total += 1;
    }

    fn operand(&mut self) {
        self.total -= self.signs;
        self.signs = 0;
    }

    fn opens(&mut self, bracket: u8) {
        if bracket == b'{' {
            self.condition_ends();
        }
        self.open.push((bracket, self.signs));
        self.signs = 0;
        self.total += 1;
    }

    /// The braces of an `if` take the place of the `if`.
    fn condition_ends(&mut self) {
        if self.open.last().is_some_and(|(open, _)| *open == b'i') {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, signs)) = self.open.pop() {
            self.operand();
            self.total -= 1;
            self.signs = signs;
            self.operand();
        }
    }

    /// A closer ends what stands open inside its bracket, but `)` and `]` do not reach out of braces.
    fn closes(&mut self, bracket: u8) {
        let reach = |open: &&(u8, usize)| bracket == b'{' || open.0 != b'{';
        let inside = self
            .open
            .iter()
            .rev()
            .take_while(reach)
            .position(|open| open.0 == bracket);
        for _ in 0..inside.map_or(0, |inside| inside + 1) {
            self.pop();
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn run(bytes: &[u8], part: impl Fn(u8) -> bool) -> usize {
    bytes
        .iter()
        .position(|byte| !part(*byte))
        .unwrap_or(bytes.len())
}

/// The length of a string, up to its quote or the end of its line.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') if bytes.get(at + 1) != Some(&b'\n') => at += 2,
            Some(b'\n') | None => return at,
            Some(_) => at += 1,
        }
    }
}
