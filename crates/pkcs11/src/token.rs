//! One session with one token: finds a key, gives its public half, signs with it, or makes it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as ModuleError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use tekseal_signing::{HashAlgorithm, PublicKey, Zeroizing};

use crate::asn1::{self, Curve};
use crate::error::Error;
use crate::uri::{KeyName, Pin, TokenName, Uri};

/// The largest file that is a PIN.
const MOST_PIN: u64 = 4096;

/// What the key is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its public half, which most tokens give without a PIN.
    Read,
    /// A signature.
    Sign,
    /// A new key.
    Make,
}

/// A kind of key that tokens make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Curve(Curve),
    Rsa(u64),
}

/// What is signed: the hash of a message for keys that sign hashes, the message for those that do not.
pub(crate) struct Input<'a> {
    pub(crate) hash: HashAlgorithm,
    pub(crate) digest: &'a [u8],
    /// Nothing where only the digest is known.
    pub(crate) message: Option<&'a [u8]>,
}

/// A session with a token.
pub(crate) struct Token<'a> {
    module: Pkcs11,
    session: Session,
    info: TokenInfo,
    uri: &'a Uri,
    /// The PIN, unless it was used already.
    pin: Option<Zeroizing<String>>,
}

impl<'a> Token<'a> {
    /// Loads the module and finds the token. `variable` gives COSIGN_PKCS11_MODULE_PATH and COSIGN_PKCS11_PIN.
    pub(crate) fn open(
        uri: &'a Uri,
        access: Access,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let path = uri.module.clone();
        let path = path.or_else(|| variable("COSIGN_PKCS11_MODULE_PATH").map(Into::into));
        let path = path.ok_or(Error::NoModule)?;
        let pin = pin(&uri.pin, variable)?;
        let module = load(&path)?;
        let (slot, info) = find(&module, &uri.token)?;
        let session = match access {
            Access::Read | Access::Sign => module.open_ro_session(slot),
            Access::Make => module.open_rw_session(slot),
        };
        let session = session.map_err(|e| Error::of_module("opening a session", &e))?;
        let mut token = Self {
            module,
            session,
            info,
            uri,
            pin,
        };
        if access != Access::Read && !token.log_in()? && token.info.login_required() {
            return Err(Error::NoPin);
        }
        Ok(token)
    }

    /// Lets the module clean up.
    pub(crate) fn close(self) {
        let Self {
            module, session, ..
        } = self;
        drop(session);
        // There is nothing to be done about it.
        let _ = module.finalize();
    }

    /// The public half of the key.
    pub(crate) fn public_key(&mut self) -> Result<PublicKey, Error> {
        let mut found = self.find(ObjectClass::PUBLIC_KEY)?;
        if found.is_empty() && self.log_in()? {
            found = self.find(ObjectClass::PUBLIC_KEY)?;
        }
        let key = self.one("public", &found)?;
        self.read(key)
    }

    /// A signature: DER for ECDSA, PKCS#1 v1.5 for RSA, 64 bytes for Ed25519.
    pub(crate) fn sign(&self, input: &Input<'_>) -> Result<Vec<u8>, Error> {
        let key = self.one("private", &self.find(ObjectClass::PRIVATE_KEY)?)?;
        let wanted = [
            AttributeType::KeyType,
            AttributeType::AlwaysAuthenticate,
            AttributeType::EcParams,
        ];
        let attributes = self.attributes(key, &wanted)?;
        if attributes.contains(&Attribute::AlwaysAuthenticate(true)) {
            return Err(Error::AlwaysAuthenticate);
        }
        match key_type(&attributes)? {
            KeyType::RSA => {
                let info = asn1::digest_info(input.hash, input.digest);
                self.sign_with(&Mechanism::RsaPkcs, key, &info)
            }
            KeyType::EC => {
                let curve = ec_params(&attributes).and_then(Curve::of_params);
                // FIPS 186-5, 6.4.1: of a longer hash the first bits count. Not every token does this itself.
                let most = curve.map_or(usize::MAX, Curve::size);
                let digest = &input.digest[..input.digest.len().min(most)];
                let numbers = self.sign_with(&Mechanism::Ecdsa, key, digest)?;
                asn1::signature_of_numbers(&numbers).ok_or(Error::Signature)
            }
            KeyType::EC_EDWARDS => {
                let message = input.message.ok_or(Error::WholeOnly)?;
                let params = EddsaParams::new(EddsaSignatureScheme::Pure);
                self.sign_with(&Mechanism::Eddsa(params), key, message)
            }
            other => Err(Error::Kind(other.to_string())),
        }
    }

    /// Makes a key that does not leave the token, and gives its public half.
    pub(crate) fn create(&self, kind: Kind) -> Result<PublicKey, Error> {
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            if !self.find(class)?.is_empty() {
                return Err(Error::Exists(self.uri.key.to_string()));
            }
        }
        // Both halves are found by it.
        let id = match &self.uri.key.id {
            Some(id) => id.clone(),
            None => self
                .session
                .generate_random_vec(16)
                .map_err(|e| Error::of_module("making an id", &e))?,
        };
        let mut both = vec![Attribute::Token(true), Attribute::Id(id)];
        both.extend(self.uri.key.label.clone().map(Attribute::Label));
        let mut public = vec![Attribute::Private(false), Attribute::Verify(true)];
        let mechanism = match kind {
            Kind::Curve(curve) => {
                public.push(Attribute::EcParams(curve.params().to_vec()));
                match curve {
                    Curve::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
                    Curve::P256 | Curve::P384 | Curve::P521 => Mechanism::EccKeyPairGen,
                }
            }
            Kind::Rsa(bits) => {
                public.push(Attribute::ModulusBits(bits.into()));
                public.push(Attribute::PublicExponent(vec![1, 0, 1]));
                Mechanism::RsaPkcsKeyPairGen
            }
        };
        let mut private = vec![
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        public.extend(both.iter().cloned());
        private.extend(both);
        let made = self
            .session
            .generate_key_pair(&mechanism, &public, &private);
        let (public, _) = made.map_err(|error| match error {
            ModuleError::Pkcs11(RvError::MechanismInvalid | RvError::CurveNotSupported, _) => {
                Error::Algorithm(format!("{kind:?}"))
            }
            error => Error::of_module("making a key", &error),
        })?;
        self.read(public)
    }

    /// Logs in with the PIN, or where the token itself asks for it. `false` where there is no PIN.
    fn log_in(&mut self) -> Result<bool, Error> {
        let pin = self.pin.take().map(|pin| AuthPin::from(pin.as_str()));
        if pin.is_none() && !self.info.protected_authentication_path() {
            return Ok(false);
        }
        if pin.is_some() {
            may_be_tried(self.info.user_pin_final_try(), self.info.user_pin_locked())?;
        }
        match self.session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(ModuleError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(true),
            Err(error) => Err(Error::of_module("logging in", &error)),
        }
    }

    fn find(&self, class: ObjectClass) -> Result<Vec<ObjectHandle>, Error> {
        let KeyName { label, id } = &self.uri.key;
        let mut template = vec![Attribute::Class(class)];
        template.extend(label.clone().map(Attribute::Label));
        template.extend(id.clone().map(Attribute::Id));
        self.session
            .find_objects(&template)
            .map_err(|e| Error::of_module("looking for the key", &e))
    }

    /// The only one: with two keys of one label nobody knows which one is meant.
    fn one(&self, half: &'static str, found: &[ObjectHandle]) -> Result<ObjectHandle, Error> {
        let wanted = self.uri.key.to_string();
        match found {
            [key] => Ok(*key),
            [] => Err(Error::NoKey {
                half,
                wanted,
                hint: match half {
                    "public" => "; some tokens show it only to those who have the PIN",
                    _ => "",
                },
            }),
            several => Err(Error::Keys {
                half,
                wanted,
                count: several.len(),
            }),
        }
    }

    fn read(&self, key: ObjectHandle) -> Result<PublicKey, Error> {
        let wanted = [
            AttributeType::KeyType,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
        ];
        let attributes = self.attributes(key, &wanted)?;
        let kind = key_type(&attributes)?;
        let spki = match kind {
            KeyType::RSA => rsa_numbers(&attributes).map(|(n, e)| asn1::spki_of_rsa(n, e)),
            KeyType::EC | KeyType::EC_EDWARDS => {
                let curve = ec_params(&attributes).and_then(Curve::of_params);
                let point = attributes.iter().find_map(|attribute| match attribute {
                    Attribute::EcPoint(point) => Some(point),
                    _ => None,
                });
                curve
                    .zip(point)
                    .and_then(|(curve, point)| asn1::spki_of_point(curve, point))
            }
            _ => None,
        };
        let spki = spki.ok_or_else(|| Error::Kind(kind.to_string()))?;
        Ok(PublicKey::from_spki(&spki)?)
    }

    fn sign_with(
        &self,
        mechanism: &Mechanism<'_>,
        key: ObjectHandle,
        data: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.session
            .sign(mechanism, key, data)
            .map_err(|e| Error::of_module("signing", &e))
    }

    /// Those that the object has.
    fn attributes(
        &self,
        object: ObjectHandle,
        wanted: &[AttributeType],
    ) -> Result<Vec<Attribute>, Error> {
        self.session
            .get_attributes(object, wanted)
            .map_err(|e| Error::of_module("reading the key", &e))
    }
}

/// Loads a module, whose code then runs in this process.
fn load(path: &Path) -> Result<Pkcs11, Error> {
    let failed = |reason: String| Error::Load {
        path: path.to_owned(),
        reason,
    };
    // The loader would look for anything else in folders of its own.
    if !path.is_absolute() {
        return Err(failed("its path is not absolute".to_owned()));
    }
    let module = Pkcs11::new(path).map_err(|error| failed(error.to_string()))?;
    module
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(|e| Error::of_module("starting the module", &e))?;
    Ok(module)
}

/// The one token of this name.
fn find(module: &Pkcs11, wanted: &TokenName) -> Result<(Slot, TokenInfo), Error> {
    let slots = module.get_slots_with_token();
    let slots = slots.map_err(|e| Error::of_module("looking for tokens", &e))?;
    let mut found = Vec::new();
    let mut others = Vec::new();
    for slot in slots {
        // A token that is being pulled out is none.
        let Ok(info) = module.get_token_info(slot) else {
            continue;
        };
        if !info.token_initialized() {
            continue;
        }
        match is_meant(wanted, slot, &info) {
            true => found.push((slot, info)),
            false => others.push(format!("{:?}", info.label())),
        }
    }
    let count = found.len();
    match (found.pop(), count) {
        (Some(found), 1) => Ok(found),
        (Some(_), count) => Err(Error::Tokens {
            wanted: wanted.to_string(),
            count,
        }),
        (None, _) => Err(Error::NoToken {
            wanted: wanted.to_string(),
            found: match others.len() {
                0 => "is none at all".to_owned(),
                _ => format!("are {}", others.join(", ")),
            },
        }),
    }
}

fn is_meant(wanted: &TokenName, slot: Slot, info: &TokenInfo) -> bool {
    let TokenName {
        label,
        manufacturer,
        model,
        serial,
        slot: id,
    } = wanted;
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
    is(label, info.label())
        && is(manufacturer, info.manufacturer_id())
        && is(model, info.model())
        && is(serial, info.serial_number())
        && id.is_none_or(|id| id == slot.id())
}

/// A PIN that was wrong until one try is left is not tried again by a program that nobody watches: it would lock the token.
fn may_be_tried(is_final: bool, is_locked: bool) -> Result<(), Error> {
    match (is_final, is_locked) {
        (_, true) => Err(Error::Pin("it is locked after too many wrong ones")),
        (true, false) => Err(Error::Pin(
            "it was wrong before, and one more wrong one locks it: it is not tried; mend it, and log in once with the token's own tool",
        )),
        (false, false) => Ok(()),
    }
}

/// The PIN, from the URI or from COSIGN_PKCS11_PIN.
fn pin(
    pin: &Pin,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Zeroizing<String>>, Error> {
    let path = match pin {
        Pin::Here(pin) => return Ok(Some(pin.clone())),
        Pin::Elsewhere => return Ok(variable("COSIGN_PKCS11_PIN").map(Zeroizing::new)),
        Pin::File(path) => path,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    File::open(path)
        .and_then(|file| file.take(MOST_PIN).read_to_end(&mut bytes))
        .map_err(|source| Error::PinFile {
            path: path.clone(),
            source,
        })?;
    // Editors and `echo` end a file so.
    let pin = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let pin = pin.strip_suffix(b"\r").unwrap_or(pin);
    let pin = std::str::from_utf8(pin).map_err(|_| Error::Pin("it is no text"))?;
    Ok(Some(Zeroizing::new(pin.to_owned())))
}

fn key_type(attributes: &[Attribute]) -> Result<KeyType, Error> {
    attributes
        .iter()
        .find_map(|attribute| match attribute {
            Attribute::KeyType(kind) => Some(*kind),
            _ => None,
        })
        .ok_or_else(|| Error::Kind("it has none".to_owned()))
}

fn ec_params(attributes: &[Attribute]) -> Option<&[u8]> {
    attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcParams(params) => Some(params.as_slice()),
        _ => None,
    })
}

fn rsa_numbers(attributes: &[Attribute]) -> Option<(&[u8], &[u8])> {
    let mut numbers = (None, None);
    for attribute in attributes {
        match attribute {
            Attribute::Modulus(n) => numbers.0 = Some(n.as_slice()),
            Attribute::PublicExponent(e) => numbers.1 = Some(e.as_slice()),
            _ => {}
        }
    }
    numbers.0.zip(numbers.1)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_last_try_of_a_pin_is_left_to_people() {
        assert!(may_be_tried(false, false).is_ok());
        for (is_final, is_locked, told) in [
            (true, false, "one more wrong one locks it"),
            (true, true, "is locked"),
        ] {
            let refused = may_be_tried(is_final, is_locked).expect_err("it is not tried");
            assert!(refused.to_string().contains(told), "{refused}");
        }
    }

    #[test]
    fn a_pin_is_read_from_a_file_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("pin");
        let none = |_: &str| None;
        let here = |name: &str| (name == "COSIGN_PKCS11_PIN").then(|| "of the variable".to_owned());
        for (content, wanted) in [
            ("12 34", "12 34"),
            ("1234\n", "1234"),
            ("1234\r\n", "1234"),
            ("12\n\n", "12\n"),
        ] {
            std::fs::write(&file, content).expect("the folder is ours");
            let read = pin(&Pin::File(file.clone()), &here).expect("it is there");
            assert_eq!(read.as_deref().map(String::as_str), Some(wanted));
        }
        let read = pin(&Pin::Elsewhere, &here).expect("it is set");
        assert_eq!(read.as_deref().map(String::as_str), Some("of the variable"));
        assert!(
            pin(&Pin::Elsewhere, &none)
                .expect("there is none")
                .is_none()
        );
        let missing = pin(&Pin::File(PathBuf::from("/nowhere/pin")), &here);
        assert!(matches!(missing, Err(Error::PinFile { .. })));
    }

    #[test]
    fn a_module_is_loaded_by_its_whole_path() {
        for (path, why) in [
            ("libm.so.6", "not absolute"),
            ("/nowhere/module.so", "cannot be loaded"),
            ("/dev/null", "cannot be loaded"),
        ] {
            let error = load(Path::new(path)).expect_err("it is no module");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
