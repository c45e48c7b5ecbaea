//! Writes `impl Task`: what a worker must have before it runs the handler, and how it runs it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{ReturnType, Type};

use crate::expand::{Attributes, payload};
use crate::model::{Argument, Batch, Named, Payload, Task};
use crate::options::duration_written as duration;
use crate::parse::bare;
use crate::tokens::mentions;

/// Writes what the worker needs to know of the task type.
pub(super) fn implementation(task: &Task<'_>) -> TokenStream {
    let ident = task.ident();
    let payload = payload_type(task);
    let private = task.krate.private();
    let declaration = declaration(task);
    let functions = functions(task);
    let run = match &task.batch {
        None => run(task, &payload),
        Some(_) => run_many(task, &payload),
    };
    quote! {
        impl #private::Task for #ident {
            type Payload = #payload;

            const DECLARATION: #private::Declaration = #declaration;

            #functions

            #run
        }
    }
}

/// Writes what ties the type of a result that is kept to its payload: with a payload made here, that it is
/// what the handler returns; with one declared elsewhere, that the handler returns what is said there, and
/// keeps it.
pub(super) fn result(task: &Task<'_>) -> Option<TokenStream> {
    match (&task.payload, task.kept) {
        (Payload::Made { .. }, None) => None,
        (Payload::Made { ident, .. }, Some(ty)) => {
            Some(payload::result(ident, &returned(task, ty), &task.krate))
        }
        (Payload::Foreign { ty: payload, .. }, None) => {
            let private = task.krate.private_at(payload.span());
            let handler = task.ident();
            Some(quote_spanned!(payload.span()=>
                const _: () = {
                    #[allow(unused_imports)]
                    use #private::NoTask as _;
                    <#private::Lost<{ #private::Loses::<#handler>::RESULT }>
                        as #private::NothingLost>::CHECKED
                };
            ))
        }
        (Payload::Foreign { ty: payload, .. }, Some(ty)) => {
            let result = returned(task, ty);
            let krate = task.krate.private_at(payload.span());
            let declared =
                quote_spanned!(payload.span()=> <#payload as #krate::KeepsResult>::Result);
            let private = task.krate.private_at(ty.span());
            Some(quote_spanned!(ty.span()=>
                const _: () = <#result as #private::ResultOf<#declared>>::CHECKED;
            ))
        }
    }
}

/// Names the zone of a schedule: that there is none is said at its name.
pub(super) fn zone(task: &Task<'_>) -> Option<TokenStream> {
    let (span, path) = task.schedule.zone()?;
    let private = task.krate.private_at(span);
    Some(quote_spanned!(span=>
        const _: #private::timezones::Tz = #private::timezones #(::#path)*;
    ))
}

/// Writes the `T` of the `Result<T, E>` that a handler returns.
fn returned(task: &Task<'_>, ty: &Type) -> TokenStream {
    let private = task.krate.private_at(ty.span());
    match task.batch {
        None => quote_spanned!(ty.span()=> <#ty as #private::Returned>::Value),
        Some(_) => quote_spanned!(ty.span()=> <#ty as #private::ReturnedEach>::Value),
    }
}

/// Writes the type that is the task of a handler whose payload is declared elsewhere.
pub(super) fn structure(task: &Task<'_>, ident: &Ident) -> TokenStream {
    let function = task.function;
    let attributes = Attributes::of(function);
    let (cfgs, deprecated) = (&attributes.cfgs, &attributes.deprecated);
    let visibility = &function.visibility;
    let handler = function.ident.unraw();
    let doc = format!("The task that [`{handler}`](fn@{handler}) handles: what `.only` takes.");
    // A clash of names is reported at the struct's first and last token.
    let at = Span::mixed_site().located_at(function.ident.span());
    let declaration = quote_spanned!(at=> struct #ident;);
    quote! {
        #(#cfgs)*
        #(#deprecated)*
        #[doc = #doc]
        #[allow(dead_code)]
        #visibility #declaration
    }
}

fn payload_type(task: &Task<'_>) -> TokenStream {
    match &task.payload {
        Payload::Made { ident, .. } => ident.to_token_stream(),
        Payload::Foreign { ty, .. } => ty.to_token_stream(),
    }
}

fn declaration(task: &Task<'_>) -> TokenStream {
    let private = task.krate.private();
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
    let delivery = task.transaction().map(|reference| {
        let ty = bare(&reference.elem);
        let private = task.krate.private_at(ty.span());
        let delivery = quote_spanned!(ty.span()=> <#ty as #private::TxHandle>::DELIVERY);
        quote!(.delivery(#delivery))
    });
    let settings = task.settings.iter().map(|it| it.call(&private));
    let schedule = task.schedule.written(&private);
    let batch = task.batch.as_ref().map(|Batch { size, wait, .. }| {
        let wait = duration(&private, *wait);
        quote!(.batch(#size, #wait))
    });
    let keep = (task.kept).map(|_| quote!(.keeps_result()));
    quote! {
        #private::Declaration::new()#at #aliases #states #delivery #(#settings)* #keep #batch #schedule
    }
}

/// Writes the constants that have the functions which options name. That one has not the type that it needs is said at
/// its name.
fn functions(task: &Task<'_>) -> TokenStream {
    let functions = task.functions.iter().map(|Named { constant, ty, path }| {
        let private = task.krate.private_at(path.span());
        let function = match *constant {
            "ON_DISCARD" => on_discard(task, path),
            _ => path.to_token_stream(),
        };
        let [constant, ty] = [constant, ty].map(|name| Ident::new(name, path.span()));
        let given = Ident::new("_given", Span::mixed_site().located_at(path.span()));
        // Given to `Some` at once, it would be said that the argument of `Some` is wrong.
        quote_spanned!(path.span()=>
            const #constant: #private::Option<#private::#ty<Self::Payload>> = {
                let #given: #private::#ty<Self::Payload> = #function;
                #private::Option::Some(#given)
            };
        )
    });
    quote!(#(#functions)*)
}

/// Writes a function that calls an `async fn`, which has a future of its own type.
fn on_discard(task: &Task<'_>, path: &syn::Path) -> TokenStream {
    let span = path.span();
    let private = task.krate.private_at(span);
    let ty = payload_type(task);
    // The user's function may have any of these names.
    let [function, payload, discarded, tx] = ["_on_discard", "_payload", "_discarded", "_tx"]
        .map(|name| Ident::new(name, Span::mixed_site().located_at(span)));
    quote_spanned!(span=> {
        fn #function<'run>(
            #payload: #ty,
            #discarded: #private::Discarded<'run>,
            #tx: &'run mut #private::PgConnection,
        ) -> #private::BoxFuture<'run, #private::Outcome> {
            #private::run(#path(#payload, #discarded, #tx), #private::IntoOutcome::into_outcome)
        }
        #function
    })
}

fn requirement(task: &Task<'_>, argument: &Argument<'_>) -> Option<TokenStream> {
    match argument {
        Argument::State(ty) => {
            let private = task.krate.private_at(ty.span());
            Some(quote_spanned!(ty.span()=> <#ty as #private::SharedState>::REQUIREMENT))
        }
        Argument::Injected(ty) => {
            let private = task.krate.private_at(ty.span());
            Some(quote_spanned!(ty.span()=> <#ty as #private::Inject>::REQUIREMENT))
        }
        Argument::Field(_) | Argument::Transaction(_) | Argument::Whole(_) | Argument::Many(_) => {
            None
        }
    }
}

/// Writes `Task::run`. Its locals are hygienic, so an argument may have any name.
fn run(task: &Task<'_>, payload: &TokenStream) -> TokenStream {
    let private = task.krate.private();
    let handler = &task.function.ident;
    let [data, parts] = locals();
    let mutability = task.transaction().map(|_| quote!(mut));
    let arguments = arguments(task);
    // At the handler: that its future is not `Send` is said there.
    let here = handler.span();
    let at_handler = task.krate.private_at(here);
    let outcome = outcome(task);
    let call = quote_spanned!(here=> #at_handler::run(#handler(#arguments), #outcome));
    quote! {
        fn run<'run>(
            #data: #payload,
            #mutability #parts: #private::Parts<'run>,
        ) -> #private::BoxFuture<'run, #private::Outcome> {
            #call
        }
    }
}

/// Writes `Task::BATCH`, and a `Task::run` that goes by it.
fn run_many(task: &Task<'_>, payload: &TokenStream) -> TokenStream {
    let private = task.krate.private();
    let handler = &task.function.ident;
    let [data, parts] = locals();
    let many = Ident::new("_many", Span::mixed_site());
    let mutability = task.transaction().map(|_| quote!(mut));
    let arguments = arguments(task);
    let here = handler.span();
    let at_handler = task.krate.private_at(here);
    let outcomes = outcomes(task);
    let call = quote_spanned!(here=> #at_handler::run_many(#handler(#arguments), #outcomes));
    let assertions = task.arguments.iter().filter_map(|argument| match argument {
        Argument::State(ty) => {
            let private = task.krate.private_at(ty.span());
            Some(quote_spanned!(ty.span()=>
                <#private::AsksForOne<{ #private::AttemptOfOne::<#ty>::IS }>
                    as #private::FitsMany>::CHECKED
            ))
        }
        _ => None,
    });
    quote! {
        const BATCH: #private::Option<#private::BatchFn<Self::Payload>> = {
            #[allow(unused_imports)]
            use #private::NotOfOne as _;
            #(#assertions;)*
            fn #many<'run>(
                #data: #private::Vec<#payload>,
                #mutability #parts: #private::Parts<'run>,
            ) -> #private::BoxFuture<'run, #private::Outcomes> {
                #call
            }
            #private::Option::Some(#many)
        };

        fn run<'run>(
            #data: #payload,
            #parts: #private::Parts<'run>,
        ) -> #private::BoxFuture<'run, #private::Outcome> {
            #private::run_one_of_many::<Self>(#data, #parts)
        }
    }
}

fn locals() -> [Ident; 2] {
    ["_payload", "_parts"].map(|name| Ident::new(name, Span::mixed_site()))
}

/// Writes what the handler is called with.
fn arguments(task: &Task<'_>) -> TokenStream {
    let [_, parts] = locals();
    let arguments = task.arguments.iter().map(|argument| match argument {
        Argument::Field(field) => {
            let ident = &field.ident;
            // At the argument: that there is no such field, or one of another type, is said there.
            let data = Ident::new("_payload", Span::mixed_site().located_at(ident.span()));
            quote_spanned!(ident.span()=> #data.#ident)
        }
        Argument::Whole(ident) | Argument::Many(ident) => {
            let data = Ident::new("_payload", Span::mixed_site().located_at(ident.span()));
            data.to_token_stream()
        }
        Argument::State(ty) => {
            let private = task.krate.private_at(ty.span());
            quote_spanned!(ty.span()=> <#ty as #private::SharedState>::borrow(&#parts))
        }
        Argument::Transaction(reference) => {
            let ty = bare(&reference.elem);
            let private = task.krate.private_at(ty.span());
            quote_spanned!(ty.span()=> <#ty as #private::TxHandle>::of(#parts.given_tx()))
        }
        Argument::Injected(ty) => {
            let private = task.krate.private_at(ty.span());
            quote_spanned!(ty.span()=> <#ty as #private::Inject>::inject(&#parts))
        }
    });
    quote!(#(#arguments),*)
}

/// Names what reads the value of a handler of many payloads, as [`outcome`] does.
fn outcomes(task: &Task<'_>) -> TokenStream {
    let span = match &task.function.output {
        ReturnType::Default => task.function.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let private = task.krate.private_at(span);
    if let Some(ty) = task.kept {
        return quote_spanned!(span=> <#ty as #private::IntoKeptEach>::into_kept_each);
    }
    match &task.function.output {
        ReturnType::Type(_, ty) if !mentions(ty.to_token_stream(), &["impl"]) => {
            quote_spanned!(span=> <#ty as #private::IntoOutcomes>::into_outcomes)
        }
        _ => quote_spanned!(span=> #private::IntoOutcomes::into_outcomes),
    }
}

/// Names what reads the handler's value, at its return type: that it is no outcome is said there.
fn outcome(task: &Task<'_>) -> TokenStream {
    let span = match &task.function.output {
        ReturnType::Default => task.function.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let private = task.krate.private_at(span);
    if let Some(ty) = task.kept {
        return quote_spanned!(span=> <#ty as #private::IntoKept>::into_kept);
    }
    match &task.function.output {
        ReturnType::Type(_, ty) if !mentions(ty.to_token_stream(), &["impl"]) => {
            quote_spanned!(span=> <#ty as #private::IntoOutcome>::into_outcome)
        }
        _ => quote_spanned!(span=> #private::IntoOutcome::into_outcome),
    }
}
