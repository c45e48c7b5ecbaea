//! Writes what makes the JSON Schema of a payload, with the feature `schemars`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::{Attribute, Path};

use super::payload::span_of;
use crate::krate::Krate;
use crate::model::{Field, Task};
use crate::tokens::mentions;
use crate::wire::Names;

/// Writes a struct that stands in for one made of a handler's arguments, and what describes its fields.
///
/// schemars' derive names what the user may have shadowed, and warns of what is deprecated. So it stands
/// on a struct of its own, in a block where that can be helped.
pub(super) fn stand_in(task: &Task<'_>, payload: &Ident) -> Option<TokenStream> {
    if !cfg!(feature = "schemars") {
        return None;
    }
    let private = task.krate.private();
    let path = task.krate.private_in_a_string("schemars");
    let name = payload.unraw().to_string();
    let stand_in = stand_in_ident();
    // A type of that name would be taken for the variant.
    let types_name_some = task
        .fields()
        .any(|field| mentions(field.ty.to_token_stream(), &["Some"]));
    let some = (!types_name_some).then(|| {
        quote! {
            #[allow(unused_imports)]
            use #private::schema_prelude::Some;
        }
    });
    let descriptions = task.fields().enumerate().map(|(number, field)| {
        is_described_here(field).then(|| {
            let description = description_ident(number);
            let ty = field.ty;
            // How serde writes it is then not how its type says.
            let has_schema = if is_written_another_way(field) {
                quote!(false)
            } else {
                quote!({ #private::Probe::<#ty>::HAS_SCHEMA })
            };
            quote!(type #description = #private::FieldSchema<#has_schema, #ty>;)
        })
    });
    let fields = task.fields().enumerate().map(|(number, field)| {
        let Field {
            ident,
            ty,
            attributes,
            ..
        } = field;
        let with = is_described_here(field).then(|| {
            let with = description_ident(number).to_string();
            quote!(#[schemars(with = #with)])
        });
        let attributes = attributes.iter().filter(|it| !it.path().is_ident("garde"));
        quote!(#with #(#attributes)* #ident: #ty,)
    });
    Some(quote! {
        #[allow(unused_imports)]
        use #private::schema_prelude::traits::*;
        #some
        #(#descriptions)*

        #[derive(#private::schemars::JsonSchema)]
        #[schemars(crate = #path, rename = #name)]
        #[allow(dead_code)]
        struct #stand_in { #(#fields)* }
    })
}

pub(super) fn stand_in_ident() -> Ident {
    Ident::new("__TaskqSchema", Span::call_site())
}

fn description_ident(number: usize) -> Ident {
    quote::format_ident!("__TaskqField{number}")
}

/// Writes `Payload::json_schema`, as the schema of `described`, and what the first steps of its upgrades
/// read.
pub(super) fn of_payload<'a, A>(
    payload: &Ident,
    described: &Ident,
    krate: &Krate,
    upgrades: &[Path],
    fields: impl Iterator<Item = (&'a Ident, A)>,
) -> Option<TokenStream>
where
    A: Iterator<Item = &'a Attribute>,
{
    if !cfg!(feature = "schemars") {
        return None;
    }
    let private = krate.private();
    let aliases = fields.filter_map(|(ident, attributes)| {
        let names = Names::of(attributes);
        let name = names.written(ident);
        let aliases = names.aliases;
        (!aliases.is_empty()).then(|| quote!((#name, &[#(#aliases),*])))
    });
    let older = upgrades.iter().enumerate().map(|(at, step)| {
        let private = krate.private_at(span_of(step));
        // The last one is known to lead to the payload, here as where it is read.
        let new = if at + 1 == upgrades.len() {
            quote!(#payload)
        } else {
            quote!(_)
        };
        let raw = quote_spanned!(span_of(step)=> #private::RawValue::NULL);
        quote_spanned! {span_of(step)=>
            #private::probe_older::<_, #new>(#private::first_step(#step, #raw)).inferred()
        }
    });
    let older = (!upgrades.is_empty()).then(|| {
        quote! {
            fn older_json_schemas()
            -> #private::Vec<#private::Option<#private::schemars::Schema>> {
                #[allow(unused_imports)]
                use #private::NoSchema as _;
                #private::vec![#(#older),*]
            }
        }
    });
    Some(quote! {
        fn json_schema() -> #private::Option<#private::schemars::Schema> {
            #[allow(unused_imports)]
            use #private::NoSchema as _;
            #private::Probe::<#described>::schema(&[#(#aliases),*])
        }

        #older
    })
}

fn is_described_here(field: &Field<'_>) -> bool {
    cfg!(feature = "schemars")
        && !field
            .attributes
            .iter()
            .any(|it| it.path().is_ident("schemars") || mentions(it.to_token_stream(), &["skip"]))
}

fn is_written_another_way(field: &Field<'_>) -> bool {
    const WAYS: [&str; 3] = ["with", "serialize_with", "deserialize_with"];
    let mut attributes = field.attributes.iter();
    attributes.any(|it| it.path().is_ident("serde") && mentions(it.to_token_stream(), &WAYS))
}
