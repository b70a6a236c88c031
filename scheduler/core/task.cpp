#include "core/task.h"

#include <kj/debug.h>

#include "wire/task_spec.h"

namespace epochly::core {

bool Task::runsAlone() const { return losses >= LOSSES_BEFORE_ALONE || spared >= SPARED_BEFORE_ALONE; }

QueueKey Task::keyAt(Level level) const {
  QueueKey key{level, function->pythonVersion, HostId(), runsAlone()};
  KJ_IF_MAYBE(host, arguments.sharedHost()) {
    key.host = *host;
  }
  return key;
}

void TaskList::pushBack(Task& task) {
  task.previous = tail;
  task.next = nullptr;
  (tail == nullptr ? head : tail->next) = &task;
  tail = &task;
  size++;
}

void TaskList::pushFront(Task& task) {
  task.previous = nullptr;
  task.next = head;
  (head == nullptr ? tail : head->previous) = &task;
  head = &task;
  size++;
}

void TaskList::remove(Task& task) {
  (task.previous == nullptr ? head : task.previous->next) = task.next;
  (task.next == nullptr ? tail : task.next->previous) = task.previous;
  task.previous = task.next = nullptr;
  size--;
}

void ReadyQueue::pushBack(Task& task) {
  KJ_ASSERT(task.queue == nullptr, "task stands in a queue already", task.id.seq);
  task.queue = this;
  TaskList::pushBack(task);
}

void ReadyQueue::pushFront(Task& task) {
  KJ_ASSERT(task.queue == nullptr, "task stands in a queue already", task.id.seq);
  task.queue = this;
  TaskList::pushFront(task);
}

void ReadyQueue::remove(Task& task) {
  KJ_ASSERT(task.queue == this, "task stands in another queue", task.id.seq);
  TaskList::remove(task);
  task.queue = nullptr;
}

kj::StringPtr outcomeName(Outcome outcome) {
  constexpr const char* NAMES[] = {"succeeded", "failed", "cancelled"};
  return NAMES[static_cast<uint>(outcome)];
}

}  // namespace epochly::core
