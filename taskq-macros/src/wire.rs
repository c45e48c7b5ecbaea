//! What serde's attributes call a field in JSON.

use proc_macro2::Ident;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{Attribute, LitStr};

use crate::tokens::split_at_commas;

/// What serde's attributes say of a field's name.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) renamed: Option<String>,
    pub(crate) aliases: Vec<String>,
    /// The attribute by which the field has no name of its own in the JSON that is written.
    pub(crate) nameless: Option<&'static str>,
}

impl Names {
    pub(crate) fn of<'a>(attributes: impl IntoIterator<Item = &'a Attribute>) -> Self {
        let mut names = Self::default();
        attributes.into_iter().for_each(|it| names.read(it));
        names
    }

    /// Returns what the field is called in the JSON that is written.
    pub(crate) fn written(&self, field: &Ident) -> String {
        let renamed = self.renamed.clone();
        renamed.unwrap_or_else(|| field.unraw().to_string())
    }

    fn read(&mut self, attribute: &Attribute) {
        let Ok(list) = attribute.meta.require_list() else {
            return;
        };
        if !list.path.is_ident("serde") {
            return;
        }
        for piece in split_at_commas(list.tokens.clone()) {
            // What else there is says nothing of names, and serde reports its mistakes.
            let named = |input: syn::parse::ParseStream<'_>| {
                let key: Ident = input.call(Ident::parse_any)?;
                input.parse::<syn::Token![=]>()?;
                Ok((key, input.parse::<LitStr>()?.value()))
            };
            if let Ok((key, name)) = named.parse2(piece.clone()) {
                match key.to_string().as_str() {
                    "rename" => self.renamed = Some(name),
                    "alias" => self.aliases.push(name),
                    _ => {}
                }
            }
            if let Ok(word) = Ident::parse_any.parse2(piece) {
                self.nameless = ["flatten", "skip", "skip_serializing"]
                    .into_iter()
                    .find(|it| word == it)
                    .or(self.nameless);
            }
        }
    }
}
