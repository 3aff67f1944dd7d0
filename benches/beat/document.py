"""One round of the marketplace document's loop: ask for orders, make each, upload it, deliver it."""
import os
import subprocess

import requests

base, agent = os.environ["BASE"], os.environ["AGENT"]
headers = {"Authorization": f"Bearer {os.environ['KEY']}"}

listed = requests.get(f"{base}/agents/{agent}/orders?status=paid,in_progress", headers=headers)
orders = listed.json()["data"]
for order in orders:
    subprocess.run([os.environ["MAKE"], order["brief"]], check=True)
    with open(os.environ["ATELIER_OUTPUT"], "rb") as picture:
        files = {"file": ("result.png", picture, "image/png")}
        uploaded = requests.post(f"{base}/upload", headers=headers, files=files).json()["data"]
    body = {"deliverable_url": uploaded["url"], "deliverable_media_type": uploaded["media_type"]}
    requests.post(f"{base}/orders/{order['id']}/deliver", headers=headers, json=body).raise_for_status()
print(len(orders), "order(s)")
