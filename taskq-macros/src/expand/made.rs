//! Writes the payload that is made of a handler's arguments.

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, Type};

use crate::expand::Attributes;
use crate::expand::payload::{self, Enqueue};
use crate::expand::schema;
use crate::model::{Field, Stored, Task};
use crate::parse::Function;
use crate::tokens::mentions;

/// Writes the struct and what goes with it, except for what a worker needs.
pub(super) fn all(
    task: &Task<'_>,
    payload: &Ident,
    derives: &[syn::Path],
    stored: &Stored<'_>,
) -> TokenStream {
    let assertions = assertions(task, payload);
    let structure = structure(task, payload, derives, stored);
    quote!(#assertions #structure)
}

/// Writes `impl Payload` for the struct.
pub(super) fn implementation(task: &Task<'_>, payload: &Ident, stored: &Stored<'_>) -> TokenStream {
    let validated = is_validated(task).then(|| task.function.ident.span());
    let schema = schema::of_payload(
        payload,
        &schema::stand_in_ident(),
        &task.krate,
        stored.upgrades,
        task.fields()
            .map(|field| (&field.ident, field.attributes.iter().copied())),
    );
    let stand_in = schema::stand_in(task, payload);
    let implementation = payload::implementation(payload, stored, &task.krate, validated, schema);
    quote!(#stand_in #implementation)
}

/// Asserts what the fields must be. All else is silent where they are not.
fn assertions(task: &Task<'_>, payload: &Ident) -> Option<TokenStream> {
    let mut assertions: Vec<_> = task
        .fields()
        .filter(|field| !serde_goes_around_the_type(field) && !is_plain(field.ty))
        .map(|field| {
            let ty = field.ty;
            let private = task.krate.private_at(ty.span());
            // From the first to the last token of the type, for both to be underlined.
            let close = quote_spanned!(last_span(ty)=> >);
            quote_spanned!(ty.span()=> _: #private::AssertField<#ty #close)
        })
        .collect();
    // The user's own bound, of which the fields' types say nothing.
    if task.fields().any(|field| serde_goes_around_the_type(field)) {
        assertions.push(payload::assertion(payload, &task.krate));
    }
    let assertions = payload::assertions(&assertions)?;
    let attributes = Attributes::of(task.function);
    let (cfgs, allow) = (&attributes.cfgs, &attributes.allow_deprecated);
    Some(quote! {
        #(#cfgs)*
        #allow
        const _: () = { #assertions };
    })
}

fn last_span(ty: &Type) -> Span {
    let last = ty.to_token_stream().into_iter().last();
    last.map_or_else(Span::call_site, |token| token.span())
}

/// Tells whether serde is told how to write and read a field whose type need not know it.
fn serde_goes_around_the_type(field: &Field<'_>) -> bool {
    const WAYS: [&str; 7] = [
        "bound",
        "with",
        "serialize_with",
        "deserialize_with",
        "skip",
        "skip_serializing",
        "skip_deserializing",
    ];
    field
        .attributes
        .iter()
        .any(|attribute| mentions(attribute.to_token_stream(), &WAYS))
}

/// Tells whether a type is, by its name, one that serde knows, so that nothing need be asserted of it:
/// what is asserted is compiled. Somebody else's type of that name is reported in serde's words.
fn is_plain(ty: &Type) -> bool {
    const PLAIN: [&str; 20] = [
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16",
        "u32", "u64", "u128", "usize", "String", "Option", "Vec", "Box",
    ];
    ty.to_token_stream().into_iter().all(|token| match token {
        TokenTree::Ident(ident) => PLAIN.iter().any(|plain| ident == plain),
        TokenTree::Punct(punct) => matches!(punct.as_char(), '<' | '>' | ','),
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    })
}

/// Writes the payload struct, and the short form of enqueueing it.
fn structure(
    task: &Task<'_>,
    payload: &Ident,
    further: &[syn::Path],
    stored: &Stored<'_>,
) -> TokenStream {
    let function = task.function;
    let attributes = Attributes::of(function);
    let (cfgs, deprecated) = (&attributes.cfgs, &attributes.deprecated);
    let visibility = &function.visibility;
    // A clash of names is reported at the struct's first and last token.
    let at = Span::mixed_site().located_at(function.ident.span());
    // What is secret is not in its `Debug`, so that is not derived.
    let has_secrets = !stored.secret.is_empty();
    let (debug, further): (Vec<_>, Vec<_>) =
        further.iter().partition(|it| has_secrets && is_debug(it));
    let debug = (!debug.is_empty()).then(|| debug_impl(task, payload, stored, &attributes));
    let derives = derives(task, &further);
    let docs = payload_docs(task, stored);
    let fields = task.fields().map(|field| {
        let Field { ident, ty, .. } = field;
        let doc = field_doc(field);
        let bound = field_bound(task, field);
        let attributes = field.attributes.iter().filter(|it| is_kept(it));
        quote!(#bound #doc #(#attributes)* #visibility #ident: #ty,)
    });
    let fields = quote!(#(#fields)*);
    let body = quote_spanned!(at=> { #fields });
    let declaration = quote_spanned!(at=> struct #payload);
    let enqueue = payload::enqueue(&Enqueue {
        payload,
        krate: &task.krate,
        stored,
        ident: enqueue_ident(function),
        visibility,
        attributes: &attributes,
        fields: task.fields().map(|it| (&it.ident, it.ty)).collect(),
    });
    quote! {
        #(#cfgs)*
        #(#deprecated)*
        #(#[doc = #docs])*
        #derives
        #visibility #declaration #body

        #debug
        #enqueue
    }
}

/// Tells whether an attribute means something to one of the struct's derives.
fn is_kept(attribute: &Attribute) -> bool {
    // Those of schemars are for the struct that stands in for this one.
    !attribute.path().is_ident("schemars")
}

/// Tells whether garde is told what values a field may have.
fn is_validated(task: &Task<'_>) -> bool {
    let mut attributes = task.fields().flat_map(|field| &field.attributes);
    attributes.any(|it| it.path().is_ident("garde"))
}

/// Returns the name of the short form, standing at the handler: there rustc's note "associated
/// function defined here" points, and so it names the arguments.
pub(crate) fn enqueue_ident(function: &Function) -> Ident {
    Ident::new("enqueue", function.ident.span())
}

fn is_debug(derive: &syn::Path) -> bool {
    (derive.segments.last()).is_some_and(|last| last.ident == "Debug")
}

/// Writes `Debug` as its derive would, but for the values of secret fields.
fn debug_impl(
    task: &Task<'_>,
    payload: &Ident,
    stored: &Stored<'_>,
    attributes: &Attributes,
) -> TokenStream {
    let private = task.krate.private();
    let (cfgs, allow) = (&attributes.cfgs, &attributes.allow_deprecated);
    let name = payload.unraw().to_string();
    let formatter = Ident::new("formatter", Span::mixed_site());
    let fields = task.fields().map(|Field { ident, ty, .. }| {
        let name = ident.unraw().to_string();
        match stored.secret.contains(&name) {
            true => quote!(.field(#name, &#private::MASKED)),
            false => quote_spanned!(ty.span()=> .field(#name, &self.#ident)),
        }
    });
    quote! {
        #(#cfgs)*
        #allow
        impl #private::fmt::Debug for #payload {
            fn fmt(&self, #formatter: &mut #private::fmt::Formatter<'_>) -> #private::fmt::Result {
                #formatter.debug_struct(#name)#(#fields)*.finish()
            }
        }
    }
}

fn derives(task: &Task<'_>, further: &[&syn::Path]) -> TokenStream {
    let private = task.krate.private();
    let serde = task.krate.private_in_a_string("serde");
    let further = (!further.is_empty()).then(|| quote!(#[derive(#(#further),*)]));
    // garde's derive names `::garde` itself, so that crate is the user's dependency.
    let garde = is_validated(task)
        .then(|| quote!(#[derive(::garde::Validate)] #[garde(allow_unvalidated)]));
    quote! {
        #further
        #garde
        #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
        #[serde(crate = #serde)]
    }
}

fn payload_docs(task: &Task<'_>, stored: &Stored<'_>) -> [String; 1] {
    let handler = task.function.ident.unraw();
    [format!(
        "The payload of the task type `{}`: the owned arguments of its handler, \
         [`{handler}`](fn@{handler}).",
        stored.name,
    )]
}

/// Bounds both of serde's implementations by what the field's type must be, silently: where it does not
/// hold, the assertion says so.
fn field_bound(task: &Task<'_>, field: &Field<'_>) -> Option<TokenStream> {
    if serde_goes_around_the_type(field) || is_plain(field.ty) {
        return None;
    }
    let ty = field.ty.to_token_stream().to_string();
    // The string is parsed where `$crate` means nothing.
    if ty.contains('$') {
        return None;
    }
    let trait_path = task.krate.private_in_a_string("Serde");
    let mut bound = Literal::string(&format!("for<'taskq> {ty}: {trait_path}<'taskq>"));
    bound.set_span(Span::call_site().located_at(field.ty.span()));
    Some(quote!(#[serde(bound = #bound)]))
}

fn field_doc(field: &Field<'_>) -> Option<TokenStream> {
    let documented = field.attributes.iter().any(|it| it.path().is_ident("doc"));
    (!documented).then(|| {
        let doc = format!("The handler's argument `{}`.", field.ident.unraw());
        quote!(#[doc = #doc])
    })
}
