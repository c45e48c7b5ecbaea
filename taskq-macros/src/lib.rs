//! The `#[task]` attribute of taskq.

use proc_macro::TokenStream;

/// Makes an async function a task.
#[proc_macro_attribute]
pub fn task(_args: TokenStream, item: TokenStream) -> TokenStream {
    item
}
