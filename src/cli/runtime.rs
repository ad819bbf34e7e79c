//! Runs futures that wait for the network on a thread without a runtime.

use super::output::Failure;

/// Runs it to its end, on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|e| Failure::failed(format!("no runtime: {e}")))?
        .block_on(future)
}
