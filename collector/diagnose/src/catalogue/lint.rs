//! A team's files, looked over before the collector takes them.

use std::collections::BTreeMap;

use super::{Catalogue, builtin, read};

/// What there is to say of a team's catalogue file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which file.
    pub file: String,
    /// The line, from 1, where one is meant.
    pub line: Option<usize>,
    /// Whether the file cannot be used; otherwise it may be meant so.
    pub wrong: bool,
    /// What.
    pub text: String,
}

impl Catalogue {
    /// Looks over a team's files, given as (name, text), as [`Self::builtin_with`] would read them: the first thing wrong in
    /// each, and what may not be meant so. Gives also how many kinds of faults can be used of them.
    pub fn lint(files: &[(&str, &str)]) -> (Vec<Remark>, usize) {
        let all: Vec<_> = builtin::FILES.iter().chain(files).copied().collect();
        let (catalogue, errors) = read::usable(&all);
        let mut remarks: Vec<Remark> = errors
            .iter()
            .map(|error| Remark {
                file: error.file().to_owned(),
                line: error.line(),
                wrong: true,
                text: error.what(),
            })
            .collect();
        let ours = Self::builtin();
        let mut first: BTreeMap<String, &str> = BTreeMap::new();
        for &(name, text) in files {
            let note = |text| Remark {
                file: name.to_owned(),
                line: None,
                wrong: false,
                text,
            };
            if builtin::FILES.iter().any(|(known, _)| *known == name) {
                remarks.push(Remark {
                    wrong: true,
                    ..note("a file of Firstlook's own has this name: choose another".to_owned())
                });
            }
            let alone: Vec<_> = builtin::FILES
                .iter()
                .copied()
                .chain([(name, text)])
                .collect();
            let (alone, _) = read::usable(&alone);
            for fault in alone
                .faults()
                .filter(|fault| alone.file(&fault.kind) == Some(name))
            {
                if let Some(before) = first.insert(fault.kind.clone(), name) {
                    remarks.push(note(format!(
                        "{} is in {before}, too: this one counts",
                        fault.kind
                    )));
                } else if ours.fault(&fault.kind).is_some() {
                    remarks.push(note(format!(
                        "{} takes the place of Firstlook's own",
                        fault.kind
                    )));
                }
                remarks.extend(catalogue.never_seen(&fault.kind, &ours).map(note));
            }
        }
        remarks.sort_by(|a, b| (&a.file, !a.wrong, a.line).cmp(&(&b.file, !b.wrong, b.line)));
        let theirs = catalogue
            .faults()
            .filter(|fault| catalogue.file(&fault.kind).is_some());
        let usable = theirs.count();
        (remarks, usable)
    }

    /// Kinds of symptoms that a fault must show and that nothing here ever sees: where there are, it is never named.
    fn never_seen<'a>(&'a self, kind: &str, ours: &'a Self) -> impl Iterator<Item = String> + 'a {
        let fault = self.fault(kind);
        let predicts = fault.into_iter().flat_map(|fault| &fault.predicts);
        let unseen = move |kind: &&String| *kind != "*" && !ours.symptoms.contains_key(*kind);
        predicts.filter_map(move |prediction| {
            let all = prediction.any.iter().all(|kind| unseen(&kind));
            all.then(|| {
                let kinds = prediction.any.join(", ");
                format!("nothing that Firstlook looks at ever shows {kinds}: docs/catalogue.md lists what it sees")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = r#"
[fault]
kind = "queue-stuck"
components = ["service"]
summary = "the queue of {component} is stuck"
prior_db = -15.0
trouble = 0.5
looks_when_fixed = "no timeouts"

[fault.question]
text = "is it?"
command = "true"

[[predict]]
any = ["log.timeout"]
at = ["callers"]
level = "must"
"#;

    fn linted(files: &[(&str, &str)]) -> (Vec<(String, Option<usize>, bool)>, usize) {
        let (remarks, usable) = Catalogue::lint(files);
        let short = |r: Remark| (format!("{}: {}", r.file, r.text), r.line, r.wrong);
        (remarks.into_iter().map(short).collect(), usable)
    }

    #[test]
    fn a_sound_file_has_no_remarks_and_says_where_its_kind_is_from() {
        assert_eq!(linted(&[("queue.toml", QUEUE)]), (vec![], 1));
        let catalogue = Catalogue::builtin_with(&[("queue.toml", QUEUE)]).unwrap();
        assert_eq!(catalogue.file("queue-stuck"), Some("queue.toml"));
        assert_eq!(catalogue.file("disk-full"), None);
    }

    #[test]
    fn each_wrong_file_is_told_with_its_line_and_the_others_count() {
        let number = QUEUE.replace("trouble = 0.5", "trouble = 5.0");
        let files = [
            ("a.toml", number.as_str()),
            ("b.toml", QUEUE),
            ("c.toml", "[fault"),
        ];
        let (remarks, usable) = linted(&files);
        assert_eq!(usable, 1);
        let of: Vec<_> = remarks
            .iter()
            .map(|(text, line, wrong)| (&text[..7], *line, *wrong))
            .collect();
        assert_eq!(of, [("a.toml:", Some(7), true), ("c.toml:", Some(1), true)]);
        assert!(
            remarks[0].0.contains("must lie in 0 to 0.99"),
            "{remarks:?}"
        );
    }

    #[test]
    fn what_may_not_be_meant_is_told_and_is_no_error() {
        let ours = QUEUE.replace("queue-stuck", "disk-full");
        let unseen = QUEUE
            .replace("queue-stuck", "licence")
            .replace("log.timeout", "log.licence");
        let files = [
            ("a.toml", QUEUE),
            ("b.toml", QUEUE),
            ("c.toml", &ours),
            ("d.toml", &unseen),
        ];
        let (remarks, usable) = linted(&files);
        assert_eq!(usable, 3);
        assert!(
            remarks
                .iter()
                .all(|(_, line, wrong)| line.is_none() && !wrong)
        );
        let texts: Vec<_> = remarks.iter().map(|(text, ..)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "b.toml: queue-stuck is in a.toml, too: this one counts",
                "c.toml: disk-full takes the place of Firstlook's own",
                "d.toml: nothing that Firstlook looks at ever shows log.licence: docs/catalogue.md lists what it sees",
            ]
        );
    }

    #[test]
    fn a_file_by_the_name_of_one_of_ours_is_wrong() {
        let (remarks, _) = linted(&[(builtin::FILES[0].0, QUEUE)]);
        assert!(
            remarks
                .iter()
                .any(|(text, _, wrong)| *wrong && text.contains("choose another"))
        );
    }
}
