//! Reads `sequence` and `on_dead`: which tasks run one after the other.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::LitStr;

use super::given::GivenOption;
use super::limits::fields_of;

/// What `sequence` says.
pub(crate) struct Sequence {
    pub(crate) fields: Vec<Ident>,
}

/// Reads `sequence = order_id` or `sequence(order_id, region)`.
pub(super) fn read(given: &GivenOption) -> syn::Result<Sequence> {
    let takes = "a field of the payload, or several as in `sequence(order_id, region)`";
    Ok(Sequence {
        fields: fields_of(given, takes)?,
    })
}

/// Reads what happens when a task is dead.
pub(super) fn on_dead(given: &GivenOption) -> syn::Result<&'static str> {
    let word: LitStr = given.assigned("a string")?;
    match word.value().as_str() {
        "block" => Ok("Block"),
        "skip" => Ok("Skip"),
        other => Err(syn::Error::new_spanned(
            &word,
            format!(
                "`on_dead` is `\"block\"`, with which the sequence waits, unless it is `\"skip\"`; not `{other}`"
            ),
        )),
    }
}

impl Sequence {
    /// Writes it as a method of `TaskOptions` takes it, with the names that the fields have in JSON.
    pub(crate) fn written(
        &self,
        private: &TokenStream,
        names: &[String],
        on_dead: Option<&str>,
    ) -> TokenStream {
        let on_dead = on_dead.map(|word| {
            let word = Ident::new(word, proc_macro2::Span::call_site());
            quote!(.on_dead(#private::OnDead::#word))
        });
        quote!(#private::Sequence::by(&[#(#names),*]) #on_dead)
    }
}
