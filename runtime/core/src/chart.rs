//! What pages draw with: SVG without scripts or links, every text escaped.

use std::fmt::Write;

/// Width of a picture.
pub const WIDTH: f64 = 720.0;
/// Height of a picture.
pub const HEIGHT: f64 = 240.0;
/// Free space at each side.
pub const EDGE: f64 = 36.0;

/// Text as it may stand in HTML, attributes included.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// A number to six significant digits or so, whole ones as they are.
pub fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        format!("{value:.4e}")
    } else if value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{value:.5}")
    }
}

/// A range of numbers, its ends among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

impl Range {
    /// That of the finite ones of some values.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let finite = values.filter(|value| value.is_finite());
        finite.fold(None, |range: Option<Self>, value| {
            let range = range.unwrap_or(Self {
                low: value,
                high: value,
            });
            Some(Self {
                low: range.low.min(value),
                high: range.high.max(value),
            })
        })
    }

    /// Where a value lies, from 0 to 1; what is outside lies at the edge, and all in the middle where both ends are one.
    pub fn place(self, value: f64) -> f64 {
        if self.high > self.low {
            ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
        } else {
            0.5
        }
    }
}

/// The abscissa of a share of a picture's width.
pub fn across(share: f64) -> f64 {
    EDGE + share * (WIDTH - 2.0 * EDGE)
}

/// The ordinate of a share of a picture's height.
pub fn up(share: f64) -> f64 {
    HEIGHT - EDGE - share * (HEIGHT - 2.0 * EDGE)
}

/// Begins a picture; `</svg>` ends it. `id` is no text of a user's, `title` may be.
pub fn open(page: &mut String, id: &str, title: &str) {
    let title = escape(title);
    let id = match id {
        "" => String::new(),
        id => format!(" id=\"{id}\""),
    };
    let _ = write!(
        page,
        "<svg{id} viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
}

/// A text in a picture; `anchor` is `start`, `middle` or `end`.
pub fn label(page: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escape(text);
    let _ = write!(
        page,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"12\" fill=\"currentColor\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// A line through points of a picture, with a text for who points at it.
pub fn line(page: &mut String, points: impl Iterator<Item = (f64, f64)>, style: &str, title: &str) {
    let mut places = String::new();
    for (x, y) in points {
        let _ = write!(places, "{x:.1},{y:.1} ");
    }
    let title = match title {
        "" => String::new(),
        title => format!("<title>{}</title>", escape(title)),
    };
    let places = places.trim_end();
    let _ = write!(
        page,
        "<polyline fill=\"none\" {style} points=\"{places}\">{title}</polyline>"
    );
}

/// A dot of a picture, with a text for who points at it.
pub fn dot(page: &mut String, (x, y): (f64, f64), radius: f64, colour: &str, title: &str) {
    let title = escape(title);
    let _ = write!(
        page,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"><title>{title}</title></circle>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_escaped() {
        let bad = "<script>alert('x')</script>\"&";
        let mut page = String::new();
        open(&mut page, "a", bad);
        label(&mut page, 0.0, 0.0, "start", bad);
        line(&mut page, [(0.0, 1.0)].into_iter(), "", bad);
        dot(&mut page, (0.0, 1.0), 3.0, "red", bad);
        assert!(!page.contains("<script") && !page.contains("'x'"));
        let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;";
        assert_eq!(page.matches(escaped).count(), 4);
    }

    #[test]
    fn places_lie_in_their_range() {
        let range = Range::of([f64::NAN, 2.0, 4.0].into_iter()).expect("numbers");
        let places = [1.0, 2.0, 3.0, 4.0, 9.0].map(|x| range.place(x));
        assert_eq!(places, [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert_eq!(Range::of([f64::INFINITY].into_iter()), None);
        assert_eq!(
            [0.5, 1234.0, 0.0, 1e-9].map(shown),
            ["0.50000", "1234", "0", "1.0000e-9"]
        );
    }
}
