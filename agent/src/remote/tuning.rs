//! What is in force: the host's own configuration, and what of the collector's it lets in.
//!
//! The host has the last word: a key that its own file sets stays as it is, own rules of redaction stand before those of others,
//! and `[remote] allow` says which sections are taken at all.

use firstlook_pipeline::{LineBudget, Redactor, Rule};
use firstlook_proto::settings::{Section, Settings};

use crate::config::{Config, OwnKeys};
use crate::strain::Budget;

/// The part of the configuration that can change while the agent runs.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// `logs.lines_per_second`
    pub lines_per_second: u32,
    /// `[budget]`
    pub budget: Budget,
    /// `[[redact]]`
    pub rules: Vec<Rule>,
}

impl Tuning {
    /// The budget of lines.
    pub fn lines(&self) -> LineBudget {
        LineBudget {
            lines_per_second: self.lines_per_second,
            ..LineBudget::default()
        }
    }
}

/// What the host's own file says of it.
#[derive(Clone, Debug)]
pub struct Own {
    tuning: Tuning,
    keys: OwnKeys,
    allow: Vec<Section>,
}

/// What a remote configuration comes to on this host.
#[derive(Clone, Debug)]
pub struct Merged {
    /// In force with it.
    pub tuning: Tuning,
    /// What of it the host's own file overrules, in words; may be empty.
    pub overruled: String,
}

impl Own {
    /// Of the host's own configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            tuning: Tuning {
                lines_per_second: config.logs.lines_per_second,
                budget: config.budget.clone(),
                rules: config.redact_rules(),
            },
            keys: config.own,
            allow: config.remote.allow.clone(),
        }
    }

    /// Without a remote configuration.
    pub fn alone(&self) -> Merged {
        Merged {
            tuning: self.tuning.clone(),
            overruled: String::new(),
        }
    }

    /// With the remote configuration `text`.
    ///
    /// # Errors
    /// Why the host does not take it, in words.
    pub fn with(&self, text: &str) -> Result<Merged, String> {
        let settings = Settings::read(text).map_err(|error| error.to_string())?;
        let sections = settings.sections();
        if let Some(refused) = sections.iter().find(|s| !self.allow.contains(s)) {
            let section = refused.as_str();
            return Err(format!(
                "the host's own file does not let [{section}] be set from the collector (remote.allow)"
            ));
        }
        let Merged {
            mut tuning,
            mut overruled,
        } = self.alone();
        let mut kept = Vec::new();
        lay_over(
            &mut tuning.lines_per_second,
            settings.lines_per_second,
            self.keys.lines_per_second,
            || kept.push("logs.lines_per_second"),
        );
        lay_over(
            &mut tuning.budget.cpu_percent,
            settings.cpu_percent,
            self.keys.cpu_percent,
            || kept.push("budget.cpu_percent"),
        );
        lay_over(
            &mut tuning.budget.memory_mib,
            settings.memory_mib,
            self.keys.memory_mib,
            || kept.push("budget.memory_mib"),
        );
        let rules = settings.redact.into_iter().map(|rule| Rule {
            name: rule.name,
            pattern: rule.pattern,
        });
        // Behind the host's own, which so see every text as they did.
        tuning.rules.extend(rules);
        // The pipeline has the last word on them: on their number with the host's own, too.
        if let Err(error) = Redactor::new(&tuning.rules) {
            return Err(format!("with the host's own rules of redaction: {error}"));
        }
        if !kept.is_empty() {
            overruled = format!("the host's own file settles {}", kept.join(", "));
        }
        Ok(Merged { tuning, overruled })
    }
}

fn lay_over<T>(value: &mut T, given: Option<T>, is_own: bool, overruled: impl FnOnce()) {
    match given {
        Some(_) if is_own => overruled(),
        Some(given) => *value = given,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own(text: &str) -> Own {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Own::of(&Config::read(&path).unwrap())
    }

    const ALL: &str = "[logs]\nlines_per_second = 7\n[budget]\ncpu_percent = 3\nmemory_mib = 99\n\
                       [[redact]]\nname = \"theirs\"\npattern = \"t[0-9]+\"\n";

    #[test]
    fn what_the_host_leaves_open_is_taken_and_what_it_sets_stays() {
        let open = own("").with(ALL).unwrap();
        assert_eq!(open.overruled, "");
        let Tuning {
            lines_per_second,
            budget,
            rules,
        } = open.tuning;
        assert_eq!(
            (lines_per_second, budget.cpu_percent, budget.memory_mib),
            (7, 3.0, 99)
        );
        assert_eq!(rules.len(), 1);

        let settled = own(
            "[logs]\nlines_per_second = 500\n[budget]\nmemory_mib = 40\n\
             [[redact]]\nname = \"ours\"\npattern = \"o[0-9]+\"\n",
        );
        let merged = settled.with(ALL).unwrap();
        let words = "the host's own file settles logs.lines_per_second, budget.memory_mib";
        assert_eq!(merged.overruled, words);
        let Tuning {
            lines_per_second,
            budget,
            rules,
        } = merged.tuning;
        assert_eq!(
            (lines_per_second, budget.cpu_percent, budget.memory_mib),
            (500, 3.0, 40)
        );
        let names: Vec<_> = rules.iter().map(|rule| &*rule.name).collect();
        assert_eq!(names, ["ours", "theirs"]);
    }

    #[test]
    fn a_section_that_the_host_does_not_allow_is_refused_with_all_the_rest() {
        for (allow, refused) in [
            ("[]", Some("[logs]")),
            ("[\"logs\"]", Some("[budget]")),
            ("[\"logs\", \"budget\"]", Some("[redact]")),
            ("[\"redact\", \"logs\", \"budget\"]", None),
        ] {
            let merged = own(&format!("[remote]\nallow = {allow}")).with(ALL);
            match refused {
                Some(section) => assert!(merged.unwrap_err().contains(section), "{allow}"),
                None => assert!(merged.is_ok(), "{allow}"),
            }
        }
        assert!(own("[remote]\nallow = []").with("# nothing").is_ok());
    }

    #[test]
    fn rules_that_are_too_many_with_the_hosts_own_are_refused() {
        let rule = |name: usize| format!("[[redact]]\nname = \"r{name}\"\npattern = \"x\"\n");
        let half: String = (0..33).map(rule).collect();
        assert!(own("").with(&half).is_ok());
        let refused = own(&half).with(&half).unwrap_err();
        assert!(refused.contains("66 rules"), "{refused}");
    }

    #[test]
    fn limits_are_those_of_the_agent_itself() {
        use firstlook_proto::settings::{PATTERN_LIMIT_BYTES, RULES_LIMIT};
        assert_eq!(RULES_LIMIT, firstlook_pipeline::RULES_LIMIT);
        let longest = "x".repeat(PATTERN_LIMIT_BYTES);
        let text = format!("[[redact]]\nname = \"a\"\npattern = \"{longest}\"");
        assert!(own("").with(&text).is_ok());
    }

    proptest! {
        #[test]
        fn a_pattern_that_the_shared_check_takes_is_one_that_the_pipeline_takes(
            pattern in "[a-c*+?.()|\\[\\]{}0-9,]{1,12}",
        ) {
            let text = format!("[[redact]]\nname = \"a\"\npattern = '{pattern}'");
            let shared = Settings::read(&text).is_ok();
            let rule = Rule { name: "a".to_owned(), pattern };
            prop_assert_eq!(shared, Redactor::new(&[rule]).is_ok());
        }
    }
}
