//! The team's own part of the catalogue: a folder of TOML files over those that Firstlook ships.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use firstlook_diagnose::{CATALOGUE_FILE_LIMIT_BYTES, Catalogue};

/// Most files of a team.
const FILES_LIMIT: usize = 256;

/// The shipped catalogue, with the files of a folder over it.
///
/// # Errors
/// When the folder or a file cannot be read, or a file is wrong: says which, and the line.
pub fn open(folder: Option<&Path>) -> anyhow::Result<Catalogue> {
    let Some(folder) = folder else {
        return Ok(Catalogue::builtin());
    };
    let files = read(folder).context("--catalogue")?;
    let named: Vec<(&str, &str)> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    // The name of one of ours would hide whose it is.
    let (remarks, faults) = Catalogue::lint(&named);
    for remark in remarks.iter().filter(|remark| !remark.wrong) {
        tracing::warn!(file = remark.file, "catalogue: {}", remark.text);
    }
    if let Some(wrong) = remarks.iter().find(|remark| remark.wrong) {
        let line = wrong
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        anyhow::bail!(
            "--catalogue {}{line}: {}",
            folder.join(&wrong.file).display(),
            wrong.text
        );
    }
    let catalogue = Catalogue::builtin_with(&named).context("--catalogue")?;
    tracing::info!(files = files.len(), faults, "the team's catalogue is read");
    Ok(catalogue)
}

/// The files of a folder whose names end in `.toml`, by name.
fn read(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let unread = || format!("{} cannot be read", folder.display());
    let entries = std::fs::read_dir(folder).with_context(unread)?;
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(unread)?;
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|end| end == "toml");
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(is_toml).collect();
    paths.sort();
    ensure!(
        paths.len() <= FILES_LIMIT,
        "{} holds {} files: {FILES_LIMIT} are read",
        folder.display(),
        paths.len()
    );
    paths.iter().map(|path| file(path)).collect()
}

fn file(path: &Path) -> anyhow::Result<(String, String)> {
    let unread = || format!("{} cannot be read", path.display());
    let about = std::fs::metadata(path).with_context(unread)?;
    ensure!(about.is_file(), "{} is no file", path.display());
    ensure!(
        about.len() <= CATALOGUE_FILE_LIMIT_BYTES as u64,
        "{} has {} bytes: {CATALOGUE_FILE_LIMIT_BYTES} are read",
        path.display(),
        about.len()
    );
    let text = std::fs::read_to_string(path).with_context(unread)?;
    let name = path.file_name().unwrap_or_default();
    Ok((name.to_string_lossy().into_owned(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LICENCE: &str = r#"
[fault]
kind = "licence-expired"
components = ["service"]
summary = "licence expired"
prior_db = -15.0
trouble = 0.5
looks_when_fixed = "no such line"
question = { text = "is it?", command = "true" }

[[predict]]
any = ["log.errors"]
at = ["self"]
level = "must"
"#;

    fn refusal(folder: &Path) -> String {
        format!("{:#}", open(Some(folder)).unwrap_err())
    }

    #[test]
    fn a_folders_files_are_read_over_ours_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("licence.toml", LICENCE);
        write("README.md", "[fault");
        let catalogue = open(Some(folder.path())).unwrap();
        assert_eq!(catalogue.file("licence-expired"), Some("licence.toml"));
        assert!(catalogue.fault("disk-full").is_some());
        assert!(open(None).unwrap().fault("licence-expired").is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, LICENCE.replace("0.5", "5")).unwrap();
        let said = refusal(folder.path());
        assert!(
            said.contains(&format!("{}:7: trouble is 5", path.display())),
            "{said}"
        );
        std::fs::write(&path, "#".repeat(CATALOGUE_FILE_LIMIT_BYTES + 1)).unwrap();
        assert!(refusal(folder.path()).contains("bytes: 262144 are read"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(refusal(folder.path()).contains("a.toml cannot be read"));
        let missing = refusal(&folder.path().join("none"));
        assert!(missing.contains("none cannot be read"), "{missing}");
    }
}
