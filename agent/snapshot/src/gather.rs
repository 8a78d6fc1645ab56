//! What a snapshot gathers, the most perishable first.

mod files;
mod kernel_log;
mod mounts;
mod packages;
mod processes;
mod settings;

use std::sync::Arc;

use crate::request::{Redact, SnapshotRequest};
use crate::task::Task;

pub(crate) use files::read_bounded;

/// All items, in the order in which they are taken.
pub(crate) fn tasks(request: &SnapshotRequest, redact: &Arc<dyn Redact>) -> Vec<Task> {
    let roots = &request.roots;
    let mut tasks = vec![processes::task(roots, Arc::clone(redact))];
    tasks.extend(files::tasks(roots, redact));
    tasks.push(kernel_log::task(roots, Arc::clone(redact)));
    tasks.extend(settings::tasks(&request.config_paths, redact));
    tasks.push(settings::sysctl_task(roots));
    tasks.push(packages::task(roots));
    // Last, because a dead mount may use up its time.
    tasks.push(mounts::task(roots));
    tasks
}
