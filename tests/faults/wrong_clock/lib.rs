//! Lies about the time: preloaded by a process, it is asked in the place of the C library. By how many seconds the time is
//! wrong, `TASKQ_CLOCK` says. The monotonic clock goes on as it is, as it does when somebody sets the time.
//!
//! Compiled by the tests themselves, and by nobody else.

use std::ffi::{c_char, c_int, c_long};
use std::ptr::null_mut;

#[cfg(target_arch = "x86_64")]
const CLOCK_GETTIME: c_long = 228;
#[cfg(target_arch = "aarch64")]
const CLOCK_GETTIME: c_long = 113;

const REALTIME: c_int = 0;
const REALTIME_COARSE: c_int = 5;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn getenv(name: *const c_char) -> *const c_char;
    fn atol(text: *const c_char) -> c_long;
}

/// Seconds, and nanoseconds or microseconds.
#[repr(C)]
pub struct Time {
    seconds: i64,
    fraction: i64,
}

fn wrong_by() -> i64 {
    // SAFETY: both read a text that ends in zero, and the name does.
    unsafe {
        match getenv(c"TASKQ_CLOCK".as_ptr()) {
            text if text.is_null() => 0,
            text => atol(text),
        }
    }
}

/// # Safety
///
/// As that of the C library: the pointer is to a time that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    // SAFETY: the kernel writes what the caller said.
    let answer = unsafe { syscall(CLOCK_GETTIME, c_long::from(clock), time) };
    if answer == 0 && matches!(clock, REALTIME | REALTIME_COARSE) {
        // SAFETY: the kernel has written there.
        unsafe { (*time).seconds += wrong_by() };
    }
    if answer == 0 { 0 } else { -1 }
}

/// # Safety
///
/// As that of the C library: the pointer is to a time that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut Time, _zone: *mut u8) -> c_int {
    // SAFETY: as the caller's.
    let answer = unsafe { clock_gettime(REALTIME, time) };
    if answer == 0 {
        // SAFETY: it was written.
        unsafe { (*time).fraction /= 1_000 };
    }
    answer
}

/// # Safety
///
/// As that of the C library: the pointer is null, or to seconds that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(seconds: *mut i64) -> i64 {
    let mut now = Time {
        seconds: 0,
        fraction: 0,
    };
    // SAFETY: it is a time of its own.
    unsafe { clock_gettime(REALTIME, &raw mut now) };
    if seconds != null_mut() {
        // SAFETY: as the caller's.
        unsafe { *seconds = now.seconds };
    }
    now.seconds
}
