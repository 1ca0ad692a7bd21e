//! How messages get into bytes.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// A stream begins with so much room for each direction, in bytes, and takes more when a message needs it. Most messages are small,
/// and a master has a stream for every agent (tonic: 8 KiB).
const BEGINS_WITH: usize = 512;
/// More than this is handed on at once, in bytes (tonic's own).
const YIELDS_AT: usize = 32 << 10;

/// Protobuf, with small buffers.
#[derive(Clone, Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BEGINS_WITH, YIELDS_AT))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BEGINS_WITH, YIELDS_AT))
    }
}
