#include "core/task.h"

#include <kj/debug.h>

namespace epochly::core {

void ReadyQueue::pushBack(Task& task) {
  KJ_ASSERT(task.queue == nullptr, "task stands in a queue already", task.id.seq);
  task.queue = this;
  task.previous = tail;
  task.next = nullptr;
  (tail == nullptr ? head : tail->next) = &task;
  tail = &task;
  size++;
}

void ReadyQueue::pushFront(Task& task) {
  KJ_ASSERT(task.queue == nullptr, "task stands in a queue already", task.id.seq);
  task.queue = this;
  task.previous = nullptr;
  task.next = head;
  (head == nullptr ? tail : head->previous) = &task;
  head = &task;
  size++;
}

void ReadyQueue::remove(Task& task) {
  KJ_ASSERT(task.queue == this, "task stands in another queue", task.id.seq);
  (task.previous == nullptr ? head : task.previous->next) = task.next;
  (task.next == nullptr ? tail : task.next->previous) = task.previous;
  task.previous = task.next = nullptr;
  task.queue = nullptr;
  size--;
}

kj::StringPtr outcomeName(Outcome outcome) {
  constexpr const char* NAMES[] = {"succeeded", "failed", "cancelled"};
  return NAMES[static_cast<uint>(outcome)];
}

}  // namespace epochly::core
