// Every limit of the protocol, named, with its reason. Limits of one component stay with that component.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/ids.h"

namespace epochly {

// ---- versions ------------------------------------------------------------------------------------------------------
constexpr uint16_t PROTOCOL_MIN = 1;
constexpr uint16_t PROTOCOL_MAX = 1;
constexpr const char* SOFTWARE_VERSION = EPOCHLY_VERSION;

// ---- messages ------------------------------------------------------------------------------------------------------
// One task's inline arguments or result. Larger buffers go through shared memory; from another host they are refused with
// PAYLOAD_TOO_LARGE until workers exchange them directly. 32 MiB is 8 ms of memcpy at each hop: more would starve heartbeats.
constexpr size_t PAYLOAD_BYTES_MAX = 32u << 20;
// A sender closes a batch once it holds this much: 1 MiB is 0.1 ms of work, so a lone task behind it is not felt.
constexpr size_t BATCH_BYTES_TARGET = 1u << 20;
// And never puts more tasks than this into one: 1,000 tasks amortise the 30 us of a call to 0.03 us each.
constexpr uint BATCH_TASKS_MAX = 1024;
// What a receiver accepts in one message: the largest payload, plus a target's worth of company, plus Cap'n Proto's framing.
constexpr size_t MESSAGE_BYTES_MAX = PAYLOAD_BYTES_MAX + BATCH_BYTES_TARGET + (1u << 20);
// capnp::ReaderOptions.traversalLimitInWords for it. Twice, because a reader may visit a list twice.
constexpr uint64_t TRAVERSAL_WORDS_MAX = 2 * MESSAGE_BYTES_MAX / 8;
// What a receiver accepts in one message, and the milliseconds it waits, before the peer has said a Hello that is accepted. The
// largest honest message is a joinWorker with its probed facts, 4 KiB; ten seconds are three retransmitted packets.
constexpr size_t HANDSHAKE_BYTES_MAX = 64u << 10;
constexpr uint32_t HANDSHAKE_MS = 10'000;
// A pickled function: closures over data belong into arguments.
constexpr size_t FUNCTION_BYTES_MAX = 16u << 20;
// Names and reasons that people read; longer ones are cut with an ellipsis.
constexpr size_t NAME_BYTES_MAX = 256;
constexpr size_t TRACEBACK_BYTES_MAX = 64u << 10;
// Pickle-5 buffers of this size and more travel through shared memory: below it, mapping costs more than copying.
constexpr size_t SHARED_BUFFER_BYTES_MIN = 64u << 10;
// Buffers of one payload: 16,384 of the smallest shared ones are 1 GiB, and 1 MiB of descriptions.
constexpr uint BUFFERS_MAX = 16'384;

// ---- tasks ---------------------------------------------------------------------------------------------------------
// Retries a caller may ask for.
constexpr uint RETRIES_MAX = 1000;
// Workers that may be lost under a task before it is given up as the likely cause. Not charged to the caller's retries.
constexpr uint LOSSES_MAX = 16;
// Of these, in the company of others. From then on it runs on a worker that holds nothing else, so that only the cause goes on
// losing workers. A quarter: machines do go away, and running alone keeps a whole worker busy.
constexpr uint LOSSES_BEFORE_ALONE = LOSSES_MAX / 4;
// The same for workers lost while it waited there behind others, as far as the scheduler knew: more, because mostly it is true.
constexpr uint SPARED_BEFORE_ALONE = LOSSES_MAX;
// A day: longer runs belong to no timeout at all (0).
constexpr uint32_t TIMEOUT_MS_MAX = 24u * 3600 * 1000;

// ---- liveness ------------------------------------------------------------------------------------------------------
constexpr uint32_t HEARTBEAT_MS = 1000;
// One missed beat is a busy loop, two a slow network; at three we take the tasks back.
constexpr uint MISSED_BEATS_MAX = 3;

}  // namespace epochly
