//! The repository as the rules see it: its crates, and the text of its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Larger files are not source.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// A repository.
#[derive(Debug, Default)]
pub struct House {
    /// Members of the workspace.
    pub crates: Vec<Crate>,
    /// Rust source, Markdown and manifests; generated code is not among them.
    pub files: Vec<File>,
}

/// A member of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// As in its manifest.
    pub name: String,
    /// Relative to the repository, as `lib/model`.
    pub folder: PathBuf,
    /// What it uses, in tests and builds, too.
    pub dependencies: Vec<Dependency>,
}

/// One dependency of a crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The crate used, under its own name.
    pub name: String,
    /// Another name that it was given.
    pub renamed_to: Option<String>,
    /// Whether only tests, benches and examples see it.
    pub only_tests: bool,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the repository.
    pub path: PathBuf,
    /// Whole.
    pub text: String,
}

impl House {
    /// Files whose names end in `.extension`.
    pub(crate) fn files_ending(&self, extension: &str) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |file| file.path.extension().is_some_and(|e| e == extension))
    }
}

/// Reads the repository at `root`, asking cargo for its crates.
///
/// # Errors
/// When cargo or the file system refuses.
pub fn read(root: &Path) -> anyhow::Result<House> {
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(House {
        crates: crates(root)?,
        files,
    })
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<PackageDependency>,
}

#[derive(Deserialize)]
struct PackageDependency {
    name: String,
    rename: Option<String>,
    kind: Option<String>,
}

fn crates(root: &Path) -> anyhow::Result<Vec<Crate>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cargo metadata does not run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {said}");
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    metadata
        .packages
        .into_iter()
        .map(|package| member(root, package))
        .collect()
}

fn member(root: &Path, package: Package) -> anyhow::Result<Crate> {
    let folder = package.manifest_path.parent().unwrap_or(root);
    let outside = || format!("{} is outside the repository", package.name);
    Ok(Crate {
        folder: folder.strip_prefix(root).with_context(outside)?.to_owned(),
        name: package.name,
        dependencies: package
            .dependencies
            .into_iter()
            .map(|d| Dependency {
                name: d.name,
                renamed_to: d.rename,
                only_tests: d.kind.as_deref() == Some("dev"),
            })
            .collect(),
    })
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) -> anyhow::Result<()> {
    let unreadable = || format!("{} cannot be read", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && !is_foreign(root, &path) {
            walk(root, &path, files)?;
        } else if kind.is_file() && is_read(&path) && entry.metadata()?.len() <= FILE_LIMIT_BYTES {
            let text =
                fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            files.push(File {
                path: path.strip_prefix(root)?.to_owned(),
                text: String::from_utf8_lossy(&text).into_owned(),
            });
        }
    }
    Ok(())
}

/// Version control, what cargo built (it marks its folder), and generated code.
fn is_foreign(root: &Path, folder: &Path) -> bool {
    folder.ends_with(".git")
        || folder.join("CACHEDIR.TAG").exists()
        || folder == root.join("target")
        || folder == root.join("proto/src/wire")
}

fn is_read(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e == "rs" || e == "md" || e == "toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_built_and_generated_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("built/CACHEDIR.TAG", "x"),
            ("built/a.rs", "x"),
            ("proto/src/wire/a.rs", "x"),
            ("proto/src/b.rs", "b"),
            ("proto/c.bin", "x"),
        ] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), text).unwrap();
        }
        let mut files = Vec::new();
        walk(dir.path(), dir.path(), &mut files).unwrap();
        let expected = File {
            path: "proto/src/b.rs".into(),
            text: "b".into(),
        };
        assert_eq!(files, [expected]);
    }
}
