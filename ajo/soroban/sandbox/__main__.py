import runpy

runpy.run_module("devtools.sandbox", run_name="__main__", alter_sys=True)
