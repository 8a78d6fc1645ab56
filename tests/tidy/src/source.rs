//! Rust source as lines: which of them are code of the product, and which are tests or comments.

use std::path::Path;

/// Whether the whole file is made of tests or examples.
pub fn is_test_file(path: &Path) -> bool {
    let in_folder = |name: &str| {
        path.parent()
            .is_some_and(|p| p.iter().any(|part| part == name))
    };
    path.ends_with("tests.rs")
        || path.starts_with("tests")
        || in_folder("tests")
        || in_folder("examples")
}

/// The lines that are not within a `#[cfg(test)] mod … { … }` of the file's top level, with their numbers from 1.
pub fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let opens_tests = line == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|(_, next)| next.starts_with("mod ") && next.ends_with('{'));
        if opens_tests {
            // rustfmt puts the closing brace of the top level, and nothing else of a module, in the first column.
            for (_, inner) in lines.by_ref() {
                if inner == "}" {
                    break;
                }
            }
        } else {
            kept.push((index + 1, line));
        }
    }
    kept
}

/// A line without its comment. A `//` within a string is taken for one, too: nobody hides code there.
pub fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "use a;\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nmod inner {\n    fn c() {\n    }\n}\nfn d() {}";

    #[test]
    fn only_whole_test_modules_are_left_out() {
        let kept: Vec<_> = without_tests(MIXED)
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!(kept, [1, 2, 3, 4, 10]);
    }

    #[test]
    fn files_of_tests_are_known_by_their_place() {
        for (path, expected) in [
            ("lib/model/src/id.rs", false),
            ("lib/model/src/tests.rs", true),
            ("lib/model/src/block/tests.rs", true),
            ("lib/model/src/tests/a.rs", true),
            ("lib/model/tests/a.rs", true),
            ("agent/pipeline/examples/a.rs", true),
            ("tests/bench/src/main.rs", true),
            ("lib/model/src/contests.rs", false),
        ] {
            assert_eq!(is_test_file(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn comments_end_a_line() {
        assert_eq!(without_comment("a(); // std::fs"), "a(); ");
        assert_eq!(without_comment("/// docs"), "");
    }
}
