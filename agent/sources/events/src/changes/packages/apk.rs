//! Packages of Alpine's database, `/lib/apk/db/installed`: paragraphs of `letter:value` lines.

use super::{PACKAGE_LIMIT, Packages};

pub(super) fn parse(text: &str) -> Packages {
    let mut packages = Packages::new();
    for paragraph in text.split("\n\n") {
        let value = |letter| paragraph.lines().find_map(|line| line.strip_prefix(letter));
        let (Some(name), Some(version)) = (value("P:"), value("V:")) else {
            continue;
        };
        let architecture = value("A:").unwrap_or_default();
        let sane = !name.is_empty() && name.len() + architecture.len() < 200 && version.len() < 200;
        if sane && packages.len() < PACKAGE_LIMIT {
            packages.insert(format!("{name}:{architecture}"), version.to_owned());
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From /lib/apk/db/installed of Alpine 3.19, shortened.
    const INSTALLED: &str = "C:Q1abc=\nP:musl\nV:1.2.4_git20230717-r4\nA:x86_64\nS:407250\nF:lib\nR:libc.musl-x86_64.so.1\na:0:0:777\n\nC:Q1def=\nP:busybox\nV:1.36.1-r15\nA:x86_64\n\n";

    #[test]
    fn packages_are_read_with_their_versions() {
        let packages = parse(INSTALLED);
        let read: Vec<_> = packages
            .iter()
            .map(|(key, version)| (key.as_str(), version.as_str()))
            .collect();
        assert_eq!(
            read,
            [
                ("busybox:x86_64", "1.36.1-r15"),
                ("musl:x86_64", "1.2.4_git20230717-r4")
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((P|V|A):.{0,20}\n|.{0,20}\n|\n){0,40}") {
            parse(&text);
        }
    }
}
