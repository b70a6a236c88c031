"""Where the embedded cluster's workers find modules: where the process does that it belongs to, also later."""
import os


def test_modules_of_folders_that_came_later_are_found_by_the_next_client(script, no_leak):
    script("""
        import pathlib, sys
        import epochly
        from watching import gone, until

        def folder_with(name):
            folder = pathlib.Path(name)
            folder.mkdir()
            (folder / f"{name}_module.py").write_text("def answer():\\n    return 42\\n")
            return str(folder.resolve())

        first = epochly.connect()
        assert first.submit(pow, 2, 5).result() == 32
        same = epochly.connect()
        assert same.address == first.address, "one is shared as long as nothing has changed"
        sys.path.append(folder_with("late"))
        import late_module
        second = epochly.connect()
        assert second.address != first.address
        assert second.submit(late_module.answer).result() == 42
        same.close()
        assert first.submit(pow, 2, 6).result() == 64, "it has a client still"
        pid = first._cluster.scheduler.pid
        first.close()
        assert until(lambda: gone(pid)), "no new client gets it"
        assert second.submit(pow, 2, 7).result() == 128
        """, environment={"PYTHONPATH": os.path.dirname(__file__)})
