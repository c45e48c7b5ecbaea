//! Writes the code of a valid task. It cannot fail.
//!
//! Whatever can go wrong in that code is a type of the user's, and then rustc has to point at the
//! user's tokens. So each call stands at the span of what it is about, all of its tokens: see
//! [`Krate::private_at`](crate::model::Krate::private_at).

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Meta, ReturnType};

use crate::arguments::stays_on_function;
use crate::model::{Argument, Field, Task};
use crate::parse::Function;
use crate::tokens::{mentions, split_at_commas};
use crate::validate::is_task;

/// Writes the function and all that is made of it.
pub(crate) fn task(task: &Task<'_>) -> TokenStream {
    let handler = handler(task.function, &handler_docs(task));
    let assertions = assertions(task);
    let payload = payload(task);
    let implementations = implementations(task);
    quote! {
        #handler
        #assertions
        #payload
        #implementations
    }
}

/// Writes the function as it was, without what was meant for the macro.
pub(crate) fn handler(function: &Function, docs: &[String]) -> TokenStream {
    let Function {
        visibility,
        qualifiers,
        fn_token,
        ident,
        generics,
        output,
        where_clause,
        body,
        ..
    } = function;
    let attributes = function.attributes.iter().filter(|it| !is_task(it));
    let mut arguments = TokenStream::new();
    // Under its own span, or clippy would count the arguments at the attribute.
    function.parens.surround(&mut arguments, |arguments| {
        for argument in &function.arguments {
            let attributes = argument
                .attributes
                .iter()
                .filter(|it| stays_on_function(it));
            let (shape, comma) = (&argument.shape, &argument.comma);
            arguments.extend(quote!(#(#attributes)* #shape #comma));
        }
    });
    quote! {
        #(#attributes)*
        #(#[doc = #docs])*
        #visibility #(#qualifiers)* #fn_token #ident #generics #arguments #output #where_clause
        #body
    }
}

fn handler_docs(task: &Task<'_>) -> [String; 2] {
    let Task { payload, name, .. } = task;
    [
        String::new(),
        format!(
            "The handler of the task type `{name}`: `#[task]` made the payload `{payload}` of its \
             owned arguments, and `{payload}::enqueue` to enqueue one."
        ),
    ]
}

/// Asserts what the fields must be, before the struct: what serde's derives say comes second.
fn assertions(task: &Task<'_>) -> TokenStream {
    let assertions: Vec<_> = task
        .fields()
        .filter(|field| !serde_goes_around_the_type(field))
        .map(|field| {
            let ty = field.ty;
            let private = task.krate.private_at(ty.span());
            quote_spanned!(ty.span()=> #private::assert_field::<#ty>();)
        })
        .collect();
    if assertions.is_empty() {
        return TokenStream::new();
    }
    let attributes = Attributes::of(task.function);
    let (cfgs, allow) = (&attributes.cfgs, &attributes.allow_deprecated);
    quote! {
        #(#cfgs)*
        #allow
        const _: () = { #(#assertions)* };
    }
}

/// Tells whether serde is told how to write and read a field whose type need not know it.
fn serde_goes_around_the_type(field: &Field<'_>) -> bool {
    const WAYS: [&str; 6] = [
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

/// Writes the payload struct, and the short form of enqueueing it.
fn payload(task: &Task<'_>) -> TokenStream {
    let Task {
        function, payload, ..
    } = task;
    let Attributes {
        cfgs,
        deprecated,
        allow_deprecated,
    } = Attributes::of(function);
    let visibility = &function.visibility;
    // A clash of names is reported at the struct's first and last token.
    let at = Span::mixed_site().located_at(function.ident.span());
    let private = task.krate.private_at(Span::call_site());
    let derives = derives(task);
    let docs = payload_docs(task);
    let fields = task.fields().map(|field| {
        let Field {
            ident,
            ty,
            attributes,
        } = field;
        let doc = field_doc(field);
        quote!(#doc #(#attributes)* #visibility #ident: #ty,)
    });
    let fields = quote!(#(#fields)*);
    let body = quote_spanned!(at=> { #fields });
    let declaration = quote_spanned!(at=> struct #payload);

    let enqueue = enqueue_ident(function);
    let conn = Ident::new("conn", Span::mixed_site());
    let names: Vec<_> = task.fields().map(|field| field.ident).collect();
    let types = task.fields().map(|field| field.ty);
    let enqueue_doc = format!(
        "Enqueues the task type `{}` in the caller's transaction.",
        task.name
    );
    quote! {
        #(#cfgs)*
        #(#deprecated)*
        #(#[doc = #docs])*
        #derives
        #visibility #declaration #body

        #(#cfgs)*
        #allow_deprecated
        impl #payload {
            #[doc = #enqueue_doc]
            #[doc = ""]
            #[doc = "Nothing happens until the builder that it returns is awaited."]
            #[allow(dead_code, clippy::too_many_arguments)]
            #visibility fn #enqueue<'conn>(
                #conn: &'conn mut #private::PgConnection,
                #(#names: #types,)*
            ) -> #private::Enqueue<'conn, #payload> {
                #private::enqueue(#conn, #payload { #(#names,)* })
            }
        }
    }
}

/// Returns the name of the short form, standing at the handler: there rustc's note "associated
/// function defined here" points, and so it names the arguments.
pub(crate) fn enqueue_ident(function: &Function) -> Ident {
    Ident::new("enqueue", function.ident.span())
}

fn derives(task: &Task<'_>) -> TokenStream {
    let private = task.krate.private_at(Span::call_site());
    let serde = task.krate.serde_in_a_string();
    let further = (!task.derives.is_empty()).then(|| {
        let derives = task.derives;
        quote!(#[derive(#(#derives),*)])
    });
    quote! {
        #further
        #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
        #[serde(crate = #serde)]
    }
}

fn payload_docs(task: &Task<'_>) -> [String; 1] {
    [format!(
        "The payload of the task type `{}`: the owned arguments of its handler, `{}`.",
        task.name, task.function.ident
    )]
}

fn field_doc(field: &Field<'_>) -> Option<TokenStream> {
    let documented = field.attributes.iter().any(|it| it.path().is_ident("doc"));
    (!documented).then(|| {
        let doc = format!("The handler's argument `{}`.", field.ident);
        quote!(#[doc = #doc])
    })
}

/// Writes what enqueueing and the worker know of the task, and its registration.
fn implementations(task: &Task<'_>) -> TokenStream {
    let Attributes {
        cfgs,
        allow_deprecated,
        ..
    } = Attributes::of(task.function);
    let payload = &task.payload;
    let private = task.krate.private_at(Span::call_site());
    let payload_impl = payload_impl(task);
    let task_impl = task_impl(task);
    quote! {
        #(#cfgs)*
        #allow_deprecated
        const _: () = {
            #payload_impl
            #task_impl
            #private::inventory::submit! {
                #private::Registration::of::<#payload>()
            }
        };
    }
}

fn payload_impl(task: &Task<'_>) -> TokenStream {
    let Task { payload, name, .. } = task;
    let private = task.krate.private_at(Span::call_site());
    let queue = task
        .queue
        .as_ref()
        .map(|queue| quote!(const QUEUE: &'static #private::str = #queue;));
    let priority = task
        .priority
        .map(|priority| quote!(const PRIORITY: #private::i16 = #priority;));
    let max_attempts = task
        .max_attempts
        .map(|max_attempts| quote!(const MAX_ATTEMPTS: #private::u16 = #max_attempts;));
    let raw = Ident::new("raw", Span::mixed_site());
    quote! {
        impl #private::Payload for #payload {
            const TASK_TYPE: &'static #private::str = #name;
            #queue
            #priority
            #max_attempts

            fn __encode(
                &self,
            ) -> #private::Result<#private::Box<#private::RawValue>, #private::EncodeError> {
                #private::encode(self)
            }

            fn __decode(
                #raw: &#private::RawValue,
            ) -> #private::Result<Self, #private::DecodeError> {
                #private::decode(#raw)
            }
        }
    }
}

fn task_impl(task: &Task<'_>) -> TokenStream {
    let payload = &task.payload;
    let private = task.krate.private_at(Span::call_site());
    let declaration = declaration(task);
    let run = run(task);
    quote! {
        impl #private::Task for #payload {
            type Payload = #payload;

            const DECLARATION: #private::Declaration = #declaration;

            #run
        }
    }
}

fn declaration(task: &Task<'_>) -> TokenStream {
    let private = task.krate.private_at(Span::call_site());
    // At the handler, for the line of its `fn`.
    let here = task.function.ident.span();
    let macros = task.krate.private_at(here);
    let at = quote_spanned!(here=> .at(#macros::file!(), #macros::line!()));
    let aliases = (!task.aliases.is_empty()).then(|| {
        let aliases = &task.aliases;
        quote!(.aliases(&[#(#aliases),*]))
    });
    let states: Vec<_> = task
        .arguments
        .iter()
        .filter_map(|it| requirement(task, it))
        .collect();
    let states = (!states.is_empty()).then(|| quote!(.states(const { &[#(#states),*] })));
    let transactional = task
        .arguments
        .iter()
        .any(|argument| matches!(argument, Argument::Transaction(_)))
        .then(|| quote!(.transactional()));
    let timeout = task.timeout.map(|timeout| {
        let (seconds, nanoseconds) = (timeout.as_secs(), timeout.subsec_nanos());
        quote!(.timeout(#private::Duration::new(#seconds, #nanoseconds)))
    });
    quote! {
        #private::Declaration::new()#at #aliases #states #transactional #timeout
    }
}

fn requirement(task: &Task<'_>, argument: &Argument<'_>) -> Option<TokenStream> {
    match argument {
        Argument::State(ty) => {
            let private = task.krate.private_at(ty.span());
            Some(quote_spanned!(ty.span()=> #private::state::<#ty>().requirement()))
        }
        Argument::Injected(ty) => {
            let private = task.krate.private_at(ty.span());
            Some(quote_spanned!(ty.span()=> <#ty as #private::Inject>::REQUIREMENT))
        }
        Argument::Field(_) | Argument::Transaction(_) => None,
    }
}

/// Writes `Task::run`. Its locals are hygienic, so an argument may have any name.
fn run(task: &Task<'_>) -> TokenStream {
    let private = task.krate.private_at(Span::call_site());
    let payload = &task.payload;
    let handler = &task.function.ident;
    let [data, parts, future, returned] = ["_payload", "_parts", "future", "returned"]
        .map(|name| Ident::new(name, Span::mixed_site()));
    let has_transaction = task
        .arguments
        .iter()
        .any(|argument| matches!(argument, Argument::Transaction(_)));
    let mutability = has_transaction.then(|| quote!(mut));
    let arguments = task.arguments.iter().map(|argument| match argument {
        Argument::Field(field) => {
            let ident = field.ident;
            quote!(#data.#ident)
        }
        Argument::State(ty) => {
            let private = task.krate.private_at(ty.span());
            quote_spanned!(ty.span()=> #private::state::<#ty>().of(&#parts))
        }
        Argument::Transaction(ty) => quote_spanned!(ty.span()=> #parts.tx::<#ty>()),
        Argument::Injected(ty) => {
            let private = task.krate.private_at(ty.span());
            quote_spanned!(ty.span()=> <#ty as #private::Inject>::inject(&#parts))
        }
    });
    let arguments = quote!(#(#arguments),*);
    // At the handler: that its future is not `Send` is said there.
    let here = handler.span();
    let at_handler = task.krate.private_at(here);
    let call = quote_spanned!(here=> #at_handler::assert_send(#handler(#arguments)));
    let outcome = outcome(task, &returned);
    quote! {
        fn run<'run>(
            #data: #payload,
            #mutability #parts: #private::Parts<'run>,
        ) -> #private::BoxFuture<'run, #private::Outcome> {
            let #future = #call;
            #private::Box::pin(async move {
                let #returned = #future.await;
                #outcome
            })
        }
    }
}

/// Reads what the handler returned, at its return type: that it is no outcome is said there.
fn outcome(task: &Task<'_>, returned: &Ident) -> TokenStream {
    let span = match &task.function.output {
        ReturnType::Default => task.function.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let private = task.krate.private_at(span);
    match &task.function.output {
        ReturnType::Type(_, ty) if !mentions(ty.to_token_stream(), &["impl"]) => {
            quote_spanned!(span=> <#ty as #private::IntoOutcome>::into_outcome(#returned))
        }
        _ => quote_spanned!(span=> #private::IntoOutcome::into_outcome(#returned)),
    }
}

/// The attributes of the function that concern the items made of it.
pub(crate) struct Attributes {
    pub(crate) cfgs: Vec<TokenStream>,
    /// On the struct, so that to enqueue a task that is going away warns.
    deprecated: Vec<TokenStream>,
    /// On what names the function or the struct.
    pub(crate) allow_deprecated: Option<TokenStream>,
}

impl Attributes {
    pub(crate) fn of(function: &Function) -> Self {
        let only = |wanted: &str| -> Vec<TokenStream> {
            function
                .attributes
                .iter()
                .filter_map(|attribute| only(attribute, wanted))
                .collect()
        };
        let deprecated = only("deprecated");
        Self {
            cfgs: only("cfg"),
            allow_deprecated: (!deprecated.is_empty()).then(|| quote!(#[allow(deprecated)])),
            deprecated,
        }
    }
}

/// Returns the attribute if it is the wanted one, and of a `cfg_attr` as much as is.
fn only(attribute: &Attribute, wanted: &str) -> Option<TokenStream> {
    let kept = only_in_meta(&attribute.meta, wanted)?;
    Some(quote!(#[#kept]))
}

fn only_in_meta(meta: &Meta, wanted: &str) -> Option<TokenStream> {
    if meta.path().is_ident(wanted) {
        return Some(meta.to_token_stream());
    }
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let mut pieces = split_at_commas(list.tokens.clone()).into_iter();
    let condition = pieces.next()?;
    let kept: Vec<_> = pieces
        .filter_map(|piece| syn::parse2::<Meta>(piece).ok())
        .filter_map(|meta| only_in_meta(&meta, wanted))
        .collect();
    (!kept.is_empty()).then(|| quote!(cfg_attr(#condition, #(#kept),*)))
}
