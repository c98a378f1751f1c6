//! From options to a preconnection.

use postroad::taps::{
    ClientCertificates, Delimiter, FixedLength, LengthPrefix, LocalEndpoint, Preconnection, Preference, Profile,
    Property, PropertyError, Protocol, RemoteEndpoint, Security, TlsConfig, TlsConfigBuilder, Tlv, TransportProperties,
};

use super::target::Target;
use crate::args::{Framing, TapsProfile, TapsSecurity, TapsSelection, TapsWish};
use crate::exit::{Exit, Failure};

/// What both ends have in common; endpoints are added by the caller.
pub(super) fn preconnection(wish: &TapsWish, security: Security) -> Result<Preconnection, Failure> {
    let plain = Preconnection::new().properties(properties(&wish.selection)?).security(security);
    Ok(match wish.framer {
        Framing::None => plain,
        Framing::Length => plain.framer(LengthPrefix::new),
        Framing::Tlv => plain.framer(Tlv::new),
        Framing::Line => plain.framer(|| Delimiter::new("\n")),
        Framing::Fixed(length) => plain.framer(move || FixedLength::new(length)),
    })
}

/// The target as whom to reach, narrowed by the options.
pub(super) fn remote(target: &Target, selection: &TapsSelection) -> Result<RemoteEndpoint, Failure> {
    let mut remote = target.remote();
    if let Some(protocol) = protocol(target, selection)? {
        remote = remote.protocol(protocol);
    }
    if let Some(interface) = &selection.interface {
        remote = remote.interface(interface.as_str());
    }
    Ok(remote)
}

/// The target as where to stand, narrowed by the options.
pub(super) fn local(target: &Target, selection: &TapsSelection) -> Result<LocalEndpoint, Failure> {
    let mut local = target.local();
    if let Some(protocol) = protocol(target, selection)? {
        local = local.protocol(protocol);
    }
    if let Some(interface) = &selection.interface {
        local = local.interface(interface.as_str());
    }
    Ok(local)
}

/// The protocol of `--protocol`, which may say again what the target says, and nothing else.
fn protocol(target: &Target, selection: &TapsSelection) -> Result<Option<Protocol>, Failure> {
    match (target.protocol, selection.protocol) {
        (Some(of_target), Some(protocol)) if of_target != protocol => {
            Err(Failure::usage("bad use of --protocol", format!("the target says {of_target}, not {protocol}")))
        }
        (_, protocol) => Ok(protocol),
    }
}

fn properties(selection: &TapsSelection) -> Result<TransportProperties, Failure> {
    let mut properties = match selection.profile {
        None => TransportProperties::new(),
        Some(profile) => TransportProperties::from_profile(match profile {
            TapsProfile::ReliableInorderStream => Profile::ReliableInorderStream,
            TapsProfile::ReliableMessage => Profile::ReliableMessage,
            TapsProfile::UnreliableDatagram => Profile::UnreliableDatagram,
        }),
    };
    let preferences = [
        ("--require", &selection.require, Preference::Require),
        ("--prefer", &selection.prefer, Preference::Prefer),
        ("--avoid", &selection.avoid, Preference::Avoid),
        ("--prohibit", &selection.prohibit, Preference::Prohibit),
    ];
    let mut known: Vec<(Property, &str)> = Vec::new();
    for (option, names, preference) in preferences {
        for name in names {
            properties.set(name, preference).map_err(|error| bad(option, &error))?;
            // Options have no order in which the last one could count.
            let Ok(property) = name.parse::<Property>() else { continue };
            match known.iter().find(|(other, _)| *other == property) {
                Some((_, before)) if *before != option => {
                    return Err(Failure::usage(format!("bad use of {option}"), format!("{before} names `{name}` too")));
                }
                _ => known.push((property, option)),
            }
        }
    }
    for setting in &selection.set {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("bad --set {setting}"), "write NAME=VALUE, as connTimeout=30"))?;
        properties.set(name.trim(), value).map_err(|error| bad("--set", &error))?;
    }
    Ok(properties)
}

fn bad(option: &str, error: &PropertyError) -> Failure {
    let hint = match error {
        PropertyError::Value { name, .. } if option != "--set" => Some(format!("give it a value: --set {name}=VALUE")),
        PropertyError::Unknown { suggestion: None, .. } => Some(
            "names are those of RFC 9622, such as reliability and connTimeout; --properties prints them".to_owned(),
        ),
        _ => None,
    };
    Failure::usage(format!("bad use of {option}"), error).hint(hint)
}

/// The security of one who connects.
pub(super) fn client_security(
    options: &TapsSecurity,
    target: &Target,
    server_name: Option<&str>,
    insecure: bool,
) -> Result<Security, Failure> {
    let mut given = given(options);
    given.extend(server_name.map(|_| "--server-name"));
    given.extend(insecure.then_some("--insecure"));
    if !secure(options, target, &given)? {
        return Ok(Security::Disabled);
    }
    let mut tls = TlsConfig::builder();
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        tls = tls.client_certificate_files(cert, key);
    }
    if let Some(name) = server_name {
        tls = tls.server_name(name);
    }
    if insecure {
        tls = tls.danger_accept_any_certificate();
    }
    build(tls, options)
}

/// The security of one who listens.
pub(super) fn server_security(options: &TapsSecurity, target: &Target) -> Result<Security, Failure> {
    if !secure(options, target, &given(options))? {
        return Ok(Security::Disabled);
    }
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Err(Failure::usage("cannot listen with TLS", "no certificate").hint("add --cert and --key".to_owned()));
    };
    let mut tls = TlsConfig::builder().server_certificate_files(cert, key);
    if options.ca.is_some() {
        tls = tls.client_certificates(ClientCertificates::Required);
    }
    build(tls, options)
}

fn build(mut tls: TlsConfigBuilder, options: &TapsSecurity) -> Result<Security, Failure> {
    if let Some(path) = &options.ca {
        tls = tls.roots_file(path);
    }
    if !options.alpn.is_empty() {
        tls = tls.alpn(&options.alpn);
    }
    let built = tls.build();
    built.map(Security::Tls).map_err(|error| Failure::new(Exit::Data, "cannot use the options of TLS", error))
}

/// The options that say something about TLS.
fn given(options: &TapsSecurity) -> Vec<&'static str> {
    let given =
        [(options.ca.is_some(), "--ca"), (options.cert.is_some(), "--cert"), (!options.alpn.is_empty(), "--alpn")];
    given.into_iter().filter_map(|(given, name)| given.then_some(name)).collect()
}

/// Whether there is TLS. An option that would do nothing without it is not passed over.
fn secure(options: &TapsSecurity, target: &Target, given: &[&str]) -> Result<bool, Failure> {
    match (options.tls, target.tls) {
        (true, Some(false)) => Err(Failure::usage("bad use of --tls", "the target is in clear text")),
        (true, _) | (_, Some(true)) => Ok(true),
        _ => match given.first() {
            Some(option) => {
                Err(Failure::usage(format!("bad use of {option}"), "no TLS was asked for").hint("add --tls".to_owned()))
            }
            None => Ok(false),
        },
    }
}
