use proptest::prelude::*;

use super::*;

fn wrong(text: &str) -> String {
    Settings::read(text).unwrap_err().to_string()
}

#[test]
fn what_is_set_is_read_and_the_rest_is_left_to_the_host() {
    assert_eq!(Settings::read("# nothing\n"), Ok(Settings::default()));
    let text = "[logs]\nlines_per_second = 50\n[budget]\ncpu_percent = 5\nmemory_mib = 48\n\
                [[redact]]\nname = \"licence\"\npattern = 'licence=(?P<secret>\\S+)'\n";
    let read = Settings::read(text).unwrap();
    assert_eq!(read.lines_per_second, Some(50));
    assert_eq!((read.cpu_percent, read.memory_mib), (Some(5.0), Some(48)));
    assert_eq!(read.redact[0].name, "licence");
    assert_eq!(read.sections(), Section::ALL);
    let logs = Settings::read("[logs]\nlines_per_second = 50\n").unwrap();
    assert_eq!(logs.sections(), [Section::Logs]);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_is_allowed() {
    for (text, line, named) in [
        ("[logs]\nlines_per_second = 0", 2, "1 to 1000000 is allowed"),
        ("\n\n[logs]\nlines_per_second = -1", 4, "u32"),
        ("[budget]\ncpu_percent = 0.05", 2, "0.1 to 400 is allowed"),
        ("[budget]\ncpu_percent = nan", 2, "0.1 to 400 is allowed"),
        ("[budget]\nmemory_mib = 7", 2, "8 to 65536 is allowed"),
        ("[budget]\nmemory = 7", 2, "unknown field `memory`"),
        ("[logs", 1, "expected"),
        ("[[redact]]\nname = \"a\"\npattern = \"(\"", 3, "rule a: "),
        (
            "[[redact]]\nname = \"a\"\npattern = \"x*\"",
            3,
            "empty text",
        ),
        ("[[redact]]\nname = \"\"\npattern = \"x\"", 2, "name"),
        ("[[redact]]\nname = \"a\"", 1, "pattern"),
    ] {
        let wrong = wrong(text);
        assert!(wrong.starts_with(&format!("line {line}: ")), "{wrong}");
        assert!(wrong.contains(named), "{wrong}");
        assert!(!wrong.contains('\n'), "{wrong}");
    }
}

#[test]
fn nothing_that_widens_what_an_agent_reads_sends_or_whom_it_talks_to_can_be_set() {
    for text in [
        "state_dir = \"/tmp\"",
        "collector = \"https://elsewhere:9443\"",
        "[roots]\nproc = \"/x\"",
        "[watch]\nconfig_paths = [\"/etc/shadow\"]",
        "[snapshot]\nconfig_paths = [\"/etc/shadow\"]",
        "[[files]]\nglob = \"/etc/*\"",
        "[[probe]]\nname = \"x\"",
        "[[scrape]]\nurl = \"http://127.0.0.1:1\"",
        "[statsd]\n",
        "[metrics]\nlisten = \"0.0.0.0:9442\"",
        "[journal]\nbudget_mib = 1",
        "[remote]\nallow = [\"logs\"]",
    ] {
        assert!(wrong(text).contains("the host's own file"), "{text}");
    }
}

#[test]
fn a_text_or_a_list_over_its_limit_is_refused() {
    assert!(wrong(&"#".repeat(CONFIG_LIMIT_BYTES + 1)).contains("bytes"));
    let rule = "[[redact]]\nname = \"a\"\npattern = \"x\"\n";
    assert!(Settings::read(&rule.repeat(RULES_LIMIT)).is_ok());
    assert!(wrong(&rule.repeat(RULES_LIMIT + 1)).contains("64 rules"));
    let long = "x".repeat(PATTERN_LIMIT_BYTES + 1);
    assert!(wrong(&format!("[[redact]]\nname = \"a\"\npattern = \"{long}\"")).contains("4096"));
    let large = "[[redact]]\nname = \"a\"\npattern = '(\\pL{1000}){1000}'";
    assert!(wrong(large).contains("rule a: "));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in "\\PC{0,80}|(\\[logs\\]|\\[budget\\]|\n|[a-z_]{1,8} = [0-9.]{1,9}|\n){0,9}") {
        if let Err(error) = Settings::read(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn a_number_is_taken_exactly_within_its_limits(lines in any::<u32>(), memory in 0..100_000u64, cpu in 0.0..1_000.0f64) {
        let text = format!("[logs]\nlines_per_second = {lines}\n[budget]\nmemory_mib = {memory}\ncpu_percent = {cpu:?}");
        let allowed = LINES_PER_SECOND.contains(&lines) && MEMORY_MIB.contains(&memory) && CPU_PERCENT.contains(&cpu);
        match Settings::read(&text) {
            Ok(read) => prop_assert!(allowed && read.lines_per_second == Some(lines) && read.cpu_percent == Some(cpu)),
            Err(_) => prop_assert!(!allowed),
        }
    }
}
