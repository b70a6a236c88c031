import copyreg
import multiprocessing
import pickle

import cloudpickle
import pytest

import epochly


@epochly.optimize(level=2)
def by_name(x):
    return x + 1


def renamed(x):
    return x * 2


another_name = epochly.optimize(level=3, placement="local")(renamed)


class Holder:
    @epochly.optimize
    def method(self, x):
        return x + 2

    @staticmethod
    @epochly.optimize
    def static(x):
        return x + 3


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_one_of_a_module_is_pickled_by_its_name(protocol):
    assert pickle.loads(pickle.dumps(by_name, protocol)) is by_name
    if protocol >= 4:
        assert pickle.loads(pickle.dumps(Holder.method, protocol)) is Holder.method
        assert pickle.loads(pickle.dumps(Holder.static, protocol)) is Holder.static


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_one_under_another_name_is_pickled_as_what_it_decorates_and_how(protocol):
    again = pickle.loads(pickle.dumps(another_name, protocol))
    assert again is not another_name and again.__wrapped__ is renamed
    assert again(4) == 8
    assert epochly.report(again).asked == 3 and epochly.report(again).placement_reason == 'placement="local" was asked for'


def test_bound_methods_are_pickled_with_their_object():
    holder = Holder()
    assert pickle.loads(pickle.dumps(holder.method))(1) == 3


def test_a_local_one_is_refused_by_pickle_as_undecorated():
    def local():
        return 1

    for function in (local, epochly.optimize(local)):
        with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
            pickle.dumps(function)


def test_cloudpickle_takes_local_ones_lambdas_and_closures():
    offset = 5
    for function in (epochly.optimize(lambda x: x + offset), epochly.optimize(level=1)(lambda x: x + 5)):
        assert cloudpickle.loads(cloudpickle.dumps(function))(1) == 6


def test_cloudpickle_takes_a_recursive_one_of_main(run_python):
    out = run_python("""
        import cloudpickle, epochly, pickle
        @epochly.optimize
        def factorial(n):
            return 1 if n < 2 else n * factorial(n - 1)
        data = cloudpickle.dumps(factorial)
        del factorial
        print(pickle.loads(data)(5))
    """)
    assert out == "120\n"


def test_cloudpickle_keeps_one_of_a_module_by_name():
    assert cloudpickle.loads(cloudpickle.dumps(by_name)) is by_name


def test_callable_objects_are_pickled_with_their_options():
    reducer = epochly.optimize(level=1)(copyreg.__newobj__)
    assert pickle.loads(pickle.dumps(reducer)).__wrapped__ is copyreg.__newobj__


def test_a_generator_of_a_decorated_function_pickles_no_more_than_another():
    def numbers():
        yield 1

    with pytest.raises(TypeError):
        pickle.dumps(epochly.optimize(numbers)())


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_process_pool_takes_it(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(by_name, [1, 2]) == [2, 3]
