//! What stands at a byte: tokens, words and the looks ahead of the grammar. Nothing here moves or remembers.

/// Words that open a block.
const BLOCK_WORDS: [&str; 3] = ["block", "model", "augment"];
/// Words that open a section.
const SECTION_WORDS: [&str; 6] = ["data", "train", "search", "evaluate", "export", "federate"];
/// Words that are never names of the user's.
const RESERVED: [&str; 6] = ["if", "else", "and", "or", "not", "let"];

/// A text to look at.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'s> {
    pub(crate) text: &'s str,
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl<'s> Scan<'s> {
    /// The byte there; 0 at the end.
    pub(crate) fn byte(self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    pub(crate) fn slice(self, from: usize, to: usize) -> &'s str {
        self.text.get(from..to).unwrap_or("")
    }

    pub(crate) fn has(self, at: usize, word: &str) -> bool {
        let bytes = self.text.as_bytes().get(at..);
        bytes.is_some_and(|rest| rest.starts_with(word.as_bytes()))
    }

    pub(crate) fn while_at(self, mut at: usize, part: impl Fn(u8) -> bool) -> usize {
        while at < self.text.len() && part(self.byte(at)) {
            at += 1;
        }
        at
    }

    fn until(self, at: usize, stop: impl Fn(u8) -> bool) -> usize {
        self.while_at(at, |byte| !stop(byte))
    }

    fn is_digit(self, at: usize) -> bool {
        self.byte(at).is_ascii_digit()
    }

    /// Behind a run of blanks and newlines.
    pub(crate) fn space(self, mut at: usize) -> usize {
        loop {
            let next = self.while_at(at, is_space);
            if !self.has(next, "\u{feff}") {
                return next;
            }
            at = next + '\u{feff}'.len_utf8();
        }
    }

    /// Behind a comment that starts here: `//` with neither a word nor `(` touching it, up to the end of the line.
    pub(crate) fn comment(self, at: usize) -> Option<usize> {
        let divides = |byte: u8| is_word(byte) || byte == b'(';
        let starts = self.has(at, "//") && !divides(self.byte(at + 2));
        starts.then(|| self.until(at + 2, |byte| byte == b'\n'))
    }

    /// Behind all blanks and comments.
    pub(crate) fn trivia(self, mut at: usize) -> usize {
        loop {
            at = self.space(at);
            match self.comment(at) {
                Some(next) => at = next,
                None => return at,
            }
        }
    }

    /// Behind an identifier, which may be a reserved word.
    pub(crate) fn ident(self, at: usize) -> Option<usize> {
        let first = self.byte(at);
        (first.is_ascii_alphabetic() || first == b'_').then(|| self.while_at(at + 1, is_word))
    }

    /// Behind a name, which is no reserved word.
    pub(crate) fn name(self, at: usize) -> Option<usize> {
        let end = self.ident(at)?;
        (!RESERVED.contains(&self.slice(at, end))).then_some(end)
    }

    /// Whether the word stands here, whole.
    pub(crate) fn keyword(self, at: usize, word: &str) -> bool {
        self.has(at, word) && !is_word(self.byte(at + word.len()))
    }

    /// A word that gives way to a setting of its name.
    pub(crate) fn soft_keyword(self, at: usize, word: &str) -> bool {
        self.keyword(at, word) && !self.is_eq(self.blanks(at + word.len()))
    }

    pub(crate) fn blanks(self, at: usize) -> usize {
        self.while_at(at, is_blank)
    }

    /// `=`, but not `==`.
    pub(crate) fn is_eq(self, at: usize) -> bool {
        self.byte(at) == b'=' && self.byte(at + 1) != b'='
    }

    /// Blanks and then a name.
    fn named(self, at: usize) -> bool {
        let next = self.blanks(at);
        next > at && self.name(next).is_some()
    }

    /// Behind one of these words, if a name follows on the line.
    fn word_with_name(self, at: usize, words: &[&str]) -> Option<usize> {
        let word = words.iter().find(|word| self.has(at, word))?;
        let end = at + word.len();
        self.named(end).then_some(end)
    }

    pub(crate) fn let_word(self, at: usize) -> Option<usize> {
        self.word_with_name(at, &["let"])
    }

    pub(crate) fn block_word(self, at: usize) -> Option<usize> {
        self.word_with_name(at, &BLOCK_WORDS)
    }

    pub(crate) fn section_word(self, at: usize) -> Option<usize> {
        self.word_with_name(at, &SECTION_WORDS)
    }

    pub(crate) fn use_word(self, at: usize) -> Option<usize> {
        let end = at + 3;
        let starts = self.byte(self.blanks(end)) == b'"' || self.named(end);
        (self.has(at, "use") && starts).then_some(end)
    }

    pub(crate) fn seed_word(self, at: usize) -> Option<usize> {
        let end = at + 4;
        let next = self.blanks(end);
        let starts = next > end && (self.is_digit(next) || self.byte(next) == b'"');
        (self.has(at, "seed") && starts).then_some(end)
    }

    /// Whether an item other than `let` starts here.
    pub(crate) fn item_start(self, at: usize) -> bool {
        let word = self
            .block_word(at)
            .or_else(|| self.section_word(at))
            .or_else(|| self.use_word(at))
            .or_else(|| self.seed_word(at));
        word.is_some()
    }

    /// The part of [`item_start`](Self::item_start) that holds where blanks are skipped between words: in a rule that is not
    /// atomic they are gone before `named` looks for them.
    pub(crate) fn loose_item_start(self, at: usize) -> bool {
        self.has(at, "use") && self.byte(self.trivia(at + 3)) == b'"'
    }

    /// Behind a section's word without a name, its braces on the same line.
    pub(crate) fn section_start(self, at: usize) -> Option<usize> {
        let word = SECTION_WORDS.iter().find(|word| self.has(at, word))?;
        let end = at + word.len();
        (self.byte(self.blanks(end)) == b'{').then_some(end)
    }

    /// `name =` or `name:`.
    pub(crate) fn field_start(self, at: usize) -> bool {
        self.ident(at).is_some_and(|end| {
            let next = self.blanks(end);
            self.is_eq(next) || self.byte(next) == b':'
        })
    }

    /// `name:`.
    pub(crate) fn declares(self, at: usize) -> bool {
        self.ident(at)
            .is_some_and(|end| self.byte(self.blanks(end)) == b':')
    }

    /// `name:` where blanks and comments may stand anywhere, as in a rule that is not atomic.
    pub(crate) fn loosely_declares(self, at: usize) -> bool {
        if self.ident(at).is_none() {
            return false;
        }
        let mut end = at;
        loop {
            let next = self.trivia(self.while_at(end, is_word));
            if next == end {
                return self.byte(end) == b':';
            }
            end = next;
        }
    }

    fn digits(self, at: usize) -> Option<usize> {
        self.grouped(at, |byte| byte.is_ascii_digit())
    }

    /// Digits with single `_` between them.
    fn grouped(self, at: usize, digit: impl Fn(u8) -> bool) -> Option<usize> {
        if !digit(self.byte(at)) {
            return None;
        }
        let mut end = at + 1;
        loop {
            let gap = usize::from(self.byte(end) == b'_');
            if !digit(self.byte(end + gap)) {
                return Some(end);
            }
            end += gap + 1;
        }
    }

    fn hex(self, at: usize) -> Option<usize> {
        self.grouped(at, |byte| byte.is_ascii_hexdigit())
    }

    /// Behind a number in a known form.
    pub(crate) fn number(self, at: usize) -> Option<usize> {
        if self.has(at, "0x")
            && let Some(end) = self.hex(at + 2)
        {
            return Some(end);
        }
        let mut end = self.digits(at)?;
        if self.byte(end) == b'.' {
            end = self.digits(end + 1).unwrap_or(end);
        }
        if matches!(self.byte(end), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(end + 1), b'+' | b'-'));
            end = self.digits(end + 1 + sign).unwrap_or(end);
        }
        Some(end)
    }

    /// Behind a number in no known form.
    pub(crate) fn bad_number(self, at: usize) -> Option<usize> {
        if let Some(end) = self.digits(at) {
            let (parts, last) = self.dotted(end);
            if parts >= 2 {
                return Some(last);
            }
            let after = self.byte(end + 1);
            if self.byte(end) == b'.' && after != b'.' && !is_word(after) {
                return Some(end + 1);
            }
        }
        if self.byte(at) == b'.' {
            return self.digits(at + 1);
        }
        let bare = self.has(at, "0x") && !self.byte(at + 2).is_ascii_hexdigit();
        bare.then(|| self.while_at(at + 2, is_word))
    }

    /// How often `.` and digits follow, and where they end.
    fn dotted(self, mut at: usize) -> (usize, usize) {
        let mut parts = 0;
        while self.byte(at) == b'.' {
            let Some(end) = self.digits(at + 1) else {
                break;
            };
            (at, parts) = (end, parts + 1);
        }
        (parts, at)
    }

    /// Behind a unit.
    pub(crate) fn unit(self, at: usize) -> Option<usize> {
        let end = self.name(at)?;
        if self.item_start(at) || self.field_start(at) {
            return None;
        }
        let calls = self.byte(end) == b'(' || self.is_dot(end);
        (!calls).then_some(end)
    }

    /// `.`, but not `..`.
    pub(crate) fn is_dot(self, at: usize) -> bool {
        self.byte(at) == b'.' && self.byte(at + 1) != b'.'
    }

    /// Behind a string with its quotes.
    pub(crate) fn string(self, at: usize) -> Option<usize> {
        if self.byte(at) != b'"' {
            return None;
        }
        let mut end = at + 1;
        loop {
            end = self.until(end, |byte| matches!(byte, b'"' | b'\\' | b'\n'));
            match self.byte(end) {
                b'"' => return Some(end + 1),
                b'\\' if matches!(self.byte(end + 1), b'"' | b'\\' | b'n' | b't') => end += 2,
                _ => return None,
            }
        }
    }

    /// Behind a string without its end, or with an unknown escape.
    pub(crate) fn bad_string(self, at: usize) -> Option<usize> {
        if self.byte(at) != b'"' || self.string(at).is_some() {
            return None;
        }
        let mut end = at + 1;
        loop {
            end = self.until(end, |byte| matches!(byte, b'"' | b'\\' | b'\n'));
            let escaped = self
                .text
                .get(end + 1..)
                .and_then(|rest| rest.chars().next());
            match (self.byte(end), escaped) {
                (b'"', _) => return Some(end + 1),
                (b'\\', Some(letter)) if letter != '\n' => end += 1 + letter.len_utf8(),
                // The backslash itself may stand at the end of the line.
                (b'\\', _) => end += 1,
                _ => return Some(end),
            }
        }
    }

    /// Behind brackets that are closed on the same line, with what they hold.
    fn balanced(self, at: usize, open: u8, close: u8) -> Option<usize> {
        if self.byte(at) != open {
            return None;
        }
        let (mut depth, mut end) = (1_usize, at + 1);
        loop {
            end = self.until(end, |byte| byte == open || byte == close || byte == b'\n');
            match self.byte(end) {
                byte if byte == open => depth += 1,
                byte if byte == close => depth -= 1,
                _ => return None,
            }
            end += 1;
            if depth == 0 {
                return Some(end);
            }
        }
    }

    /// Behind what cannot be read inside brackets, if the closer follows on the line.
    pub(crate) fn bracket_junk(self, at: usize, open: u8, close: u8) -> Option<usize> {
        let mut end = at;
        loop {
            end = self.until(end, |byte| {
                matches!(byte, b'}' | b'\n') || byte == open || byte == close
            });
            if end >= self.text.len() || self.byte(end) != open {
                break;
            }
            end = self.balanced(end, open, close).unwrap_or(end + 1);
        }
        (end > at && self.byte(end) == close).then_some(end)
    }

    /// Behind what cannot be read inside braces: to the end of the line, a comment, or the closer.
    pub(crate) fn line_junk(self, at: usize) -> Option<usize> {
        if self.byte(at) == b'}' || self.item_start(at) {
            return None;
        }
        let mut end = at;
        loop {
            end = self.until(end, |byte| matches!(byte, b'}' | b'\n' | b'{' | b'/'));
            match self.byte(end) {
                b'{' => end = self.balanced(end, b'{', b'}').unwrap_or(end + 1),
                b'/' if self.comment(end).is_none() => end += 1,
                _ => return (end > at).then_some(end),
            }
        }
    }

    /// Behind what cannot be read between items: to the next line that starts one.
    pub(crate) fn file_junk(self, at: usize) -> usize {
        // The first character is taken whatever it is.
        let first = self.text.get(at..).and_then(|rest| rest.chars().next());
        let mut end = at + first.map_or(1, char::len_utf8);
        loop {
            end = self.until(end, |byte| byte == b'\n');
            let next = end + 1;
            if end >= self.text.len() || self.item_start(next) || self.let_word(next).is_some() {
                return end.min(self.text.len());
            }
            end = next;
        }
    }
}
