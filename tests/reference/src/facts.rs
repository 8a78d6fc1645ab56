//! What the doc comment of a key says: its default, its limits, an example, and the rest.

/// See the crate's own comment for the turns that are understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// All but the sentence of the default.
    pub text: String,
    /// Words after `Default`.
    pub default: Option<String>,
    /// Least value.
    pub least: Option<i64>,
    /// Greatest value.
    pub most: Option<i64>,
    /// What stands in backquotes after `as`.
    pub example: Option<String>,
}

impl Facts {
    pub fn of(doc: &str) -> Self {
        let (defaults, rest): (Vec<&str>, Vec<&str>) =
            sentences(doc).partition(|s| s.starts_with("Default"));
        let text = rest.join(" ");
        let default = defaults.first().map(|sentence| {
            let words = sentence.trim_start_matches("Default").trim_end_matches('.');
            words.trim_start_matches(':').trim().to_owned()
        });
        let (least, most) = limits(&text);
        Self {
            example: text.split_once("as `").and_then(|(_, rest)| {
                let (example, _) = rest.split_once('`')?;
                Some(example.to_owned())
            }),
            text,
            default,
            least,
            most,
        }
    }

    /// What the default has in backquotes, in order.
    pub fn default_quoted(&self) -> Vec<&str> {
        let words = self.default.as_deref().unwrap_or_default();
        words.split('`').skip(1).step_by(2).collect()
    }
}

/// Each with its full stop. A stop in backquotes ends none.
fn sentences(doc: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_stop = false;
    let pieces = doc.split_inclusive(move |c: char| {
        is_quoted ^= c == '`';
        let ends = is_stop && c == ' ';
        is_stop = c == '.' && !is_quoted;
        ends
    });
    pieces.map(str::trim).filter(|s| !s.is_empty())
}

/// `1 to 10`, `1 to the interval`, `at least 1`. The first of them counts.
fn limits(text: &str) -> (Option<i64>, Option<i64>) {
    let number = |word: &str| {
        let word = word.trim_end_matches(['.', ',', ';', ':']).replace(',', "");
        word.parse::<i64>().ok()
    };
    let words: Vec<&str> = text.split(' ').collect();
    for three in words.windows(3) {
        match three {
            [from, "to", to] if number(from).is_some() => return (number(from), number(to)),
            ["at" | "At", "least", from] if number(from).is_some() => return (number(from), None),
            _ => {}
        }
    }
    (None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_taken_apart() {
        for (doc, text, default, limits, example) in [
            ("", "", None, (None, None), None),
            (
                "Unit, as `nginx.service`. Default: the host itself.",
                "Unit, as `nginx.service`.",
                Some("the host itself"),
                (None, None),
                Some("nginx.service"),
            ),
            (
                "Samples, 1,000 to 100,000,000. Default 1000000. More.",
                "Samples, 1,000 to 100,000,000. More.",
                Some("1000000"),
                (Some(1_000), Some(100_000_000)),
                None,
            ),
            (
                "1 to the interval.",
                "1 to the interval.",
                None,
                (Some(1), None),
                None,
            ),
            ("At least 2.", "At least 2.", None, (Some(2), None), None),
            (
                "Default `/a. b` and `/c`.",
                "",
                Some("`/a. b` and `/c`"),
                (None, None),
                None,
            ),
        ] {
            let facts = Facts::of(doc);
            assert_eq!(facts.text, text);
            assert_eq!(facts.default.as_deref(), default);
            assert_eq!((facts.least, facts.most), limits);
            assert_eq!(facts.example.as_deref(), example);
        }
        let quoted = Facts::of("Default `/a. b` and `/c`.");
        assert_eq!(quoted.default_quoted(), ["/a. b", "/c"]);
    }
}
