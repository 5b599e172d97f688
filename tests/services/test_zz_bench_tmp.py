import time, logging
import pytest
from tests import factories
from tests.services.outbox import *
from tests.services.sandboxes import *
import whatalker.jobs.dispatch as d
pytestmark = pytest.mark.usefixtures("app_context")
@pytest.mark.parametrize("flight", [128, 256, 512])
def test_bench(people, app, monkeypatch, flight):
    logging.disable(logging.CRITICAL)
    out=open("/tmp/outbox/bench.txt","a")
    d.RUN_SECONDS["bulk"]=60; d.IN_FLIGHT=flight
    with sandbox() as provider:
        provider.ask("POST","/_sandbox/bulk",{})
        monkeypatch.setitem(app.config,"WHATSAPP_API_BASE",f"{provider.address}/v23.0")
        number = make_number(people.organization, channel="whatsapp", external_id=PHONE_NUMBER_ID, business_id=WABA, credentials={"access_token": TOKEN}, throughput=100_000)
        for round_ in range(3):
            make_waiting(make_conversations(number, 4000), lane="bulk")
            t=time.perf_counter(); c=time.process_time()
            run_outbox(number,"bulk")
            dt=time.perf_counter()-t; cpu=time.process_time()-c
            print(flight, round_, "msg/s", round(4000/dt), "cpu us each", round(cpu/4000*1e6), {x.status for x in read(number)}, file=out, flush=True)
    out.close()
