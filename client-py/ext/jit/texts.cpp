#include "ext/jit/texts.h"

#include <new>

namespace epochly::ext::jit {

Texts::Texts(const std::vector<program::Text>& mentioned) {
  for (auto& text : mentioned) {
    auto size = static_cast<Py_ssize_t>(text.content.size());
    Reference object(text.isBytes ? PyBytes_FromStringAndSize(text.content.data(), size)
                                  : PyUnicode_DecodeUTF8(text.content.data(), size, "surrogatepass"));
    if (!object || add(object.get()) < 0) throw std::bad_alloc();
  }
}

int64_t Texts::find(PyObject* text) const {
  auto& table = numbers[kindOf(text)];
  if (!table) return -1;
  PyObject* found = PyDict_GetItemWithError(table.get(), text);
  PyErr_Clear();
  return found ? PyLong_AsLongLong(found) : -1;
}

int64_t Texts::add(PyObject* text) {
  auto number = static_cast<int64_t>(first() + objects.size());
  auto& table = numbers[kindOf(text)];
  if (!table) table = Reference(PyDict_New());
  Reference boxed(PyLong_FromLongLong(number));
  if (!table || !boxed || PyDict_SetItem(table.get(), text, boxed.get()) < 0) {
    PyErr_Clear();
    return -1;
  }
  objects.push_back(Reference::borrowed(text));
  return number;
}

int64_t Texts::numberOf(PyObject* text) {
  auto known = before ? before->find(text) : -1;
  if (known < 0) known = find(text);
  return known < 0 ? add(text) : known;
}

PyObject* Texts::at(uint64_t number) const {
  return number < first() ? before->at(number) : objects[number - first()].get();
}

}  // namespace epochly::ext::jit
