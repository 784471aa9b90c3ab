//! Where the server's memory comes from: jemalloc, which gives back what a crowd of rooms has taken once they are closed, and is
//! quicker than glibc's for many small pieces that one thread takes and another one frees.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// One arena, so that all threads fill the same pages; what is free goes back to the system after half a second, by a thread
/// that sees to it also when nothing happens; of pieces of a page or more no thread keeps some for itself. See jemalloc(3),
/// "TUNING".
#[expect(
    unsafe_code,
    reason = "jemalloc reads its settings before `main`, from this symbol: a pointer to a text that ends with a zero"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 85] =
    b"narenas:1,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0,tcache_max:4096\0";
