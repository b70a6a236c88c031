#include "wire/payload.h"

namespace epochly {

namespace {

Payload::Buffer readBuffer(schema::Buffer::Reader reader) {
  Payload::Buffer buffer;
  if (reader.isInline()) {
    buffer.init<kj::Array<byte>>(kj::heapArray<byte>(reader.getInline()));
  } else {
    auto shared = reader.getShared();
    buffer.init<SharedBuffer>(
        SharedBuffer{HostId(shared.getHost()), kj::str(shared.getName()), shared.getOffset(), shared.getSize()});
  }
  return buffer;
}

void writeBuffer(const Payload::Buffer& buffer, schema::Buffer::Builder builder) {
  if (buffer.is<SharedBuffer>()) {
    auto& from = buffer.get<SharedBuffer>();
    auto to = builder.initShared();
    to.setHost(from.host.value);
    to.setName(from.name);
    to.setOffset(from.offset);
    to.setSize(from.size);
  } else {
    builder.setInline(buffer.get<kj::Array<byte>>());
  }
}

}  // namespace

Payload Payload::read(schema::Payload::Reader reader) {
  Payload payload;
  payload.pickle = kj::heapArray<byte>(reader.getPickle());
  if (reader.hasBuffers() && reader.getBuffers().size() > 0) {
    payload.buffers = KJ_MAP(buffer, reader.getBuffers()) { return readBuffer(buffer); };
  }
  return payload;
}

void Payload::write(schema::Payload::Builder builder) const {
  builder.setPickle(pickle);
  if (buffers.size() == 0) return;
  auto list = builder.initBuffers(buffers.size());
  for (auto i : kj::indices(buffers)) writeBuffer(buffers[i], list[i]);
}

Payload Payload::clone() const {
  Payload copy;
  copy.pickle = kj::heapArray<byte>(pickle.asPtr());
  copy.buffers = KJ_MAP(buffer, buffers) {
    Buffer to;
    if (buffer.is<SharedBuffer>()) {
      auto& from = buffer.get<SharedBuffer>();
      to.init<SharedBuffer>(SharedBuffer{from.host, kj::str(from.name), from.offset, from.size});
    } else {
      to.init<kj::Array<byte>>(kj::heapArray<byte>(buffer.get<kj::Array<byte>>().asPtr()));
    }
    return to;
  };
  return copy;
}

size_t Payload::inlineBytes() const {
  size_t bytes = pickle.size();
  for (auto& buffer : buffers) {
    bytes += buffer.is<SharedBuffer>() ? sizeof(SharedBuffer) : buffer.get<kj::Array<byte>>().size();
  }
  return bytes;
}

size_t Payload::messageWords() const {
  size_t words = capnp::sizeInWords<schema::Payload>() + wordsFor(pickle.size());
  if (buffers.size() > 0) words++;  // the list's tag
  for (auto& buffer : buffers) {
    words += capnp::sizeInWords<schema::Buffer>();
    if (buffer.is<SharedBuffer>()) {
      words += capnp::sizeInWords<schema::SharedBuffer>() + textWords(buffer.get<SharedBuffer>().name.size());
    } else {
      words += wordsFor(buffer.get<kj::Array<byte>>().size());
    }
  }
  return words;
}

kj::Maybe<HostId> Payload::sharedHost() const {
  for (auto& buffer : buffers) {
    if (buffer.is<SharedBuffer>()) return buffer.get<SharedBuffer>().host;
  }
  return nullptr;
}

size_t inlineBytes(schema::Payload::Reader reader) {
  size_t bytes = reader.getPickle().size();
  for (auto buffer : reader.getBuffers()) {
    bytes += buffer.isInline() ? buffer.getInline().size() : sizeof(SharedBuffer);
  }
  return bytes;
}

}  // namespace epochly
