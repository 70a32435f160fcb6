//! The size of the pages of memory that the system gives this process.

/// Has the system give small pages, unless the allocator's own variable `MIMALLOC_ALLOW_THP` says something else.
///
/// Large ones (2 MiB) are there as a whole as soon as one byte of them is used. A server with few sessions has 10 MB more by that, and one with
/// a million is faster with them (`docs/profile.md` has figures).
#[cfg(all(feature = "mimalloc", target_os = "linux"))]
pub(crate) fn keep_small() {
    if std::env::var_os("MIMALLOC_ALLOW_THP").is_none() {
        // Where it can't be had nothing but memory is lost.
        let _ = rustix::thread::disable_transparent_huge_pages(true);
    }
}

/// Other systems do as they do.
#[cfg(not(all(feature = "mimalloc", target_os = "linux")))]
pub(crate) fn keep_small() {}
