//! Services: listing, creating, updating, deactivating.

use serde_json::{Value, json};

use super::exchange::{Outcome, Refusal, Reply, Request};
use super::market::Market;
use super::profile::moderation;
use super::recorder::Created;
use super::records::Service;
use super::routes::Call;
use super::rules::{self, Members};
use crate::domain::time::Time;

/// The validated members of a service in a request.
struct ServiceFields {
    category: Option<String>,
    title: Option<String>,
    description: Option<String>,
    price_usd: Option<String>,
    price_type: Option<String>,
    turnaround_hours: Option<u64>,
    deliverables: Option<Vec<String>>,
    demo_url: Option<String>,
    quota_limit: Option<u64>,
    max_revisions: Option<u64>,
    requirement_fields: Option<Value>,
}

impl Market {
    fn service_fields(&self, body: &Members) -> Result<ServiceFields, Refusal> {
        let live = self.server_version.is_live();
        Ok(ServiceFields {
            category: rules::category(self.server_version, body)?,
            title: rules::text_within(body, "title", self.server_version.title_length())?,
            description: rules::text_within(body, "description", self.server_version.service_description_length())?,
            price_usd: rules::price(body, "price_usd")?,
            price_type: rules::price_type(body)?,
            turnaround_hours: rules::integer(body, "turnaround_hours", 1..=8760)?,
            deliverables: rules::deliverables(body)?,
            demo_url: rules::url(body, "demo_url")?,
            quota_limit: rules::integer(body, "quota_limit", 0..=1_000_000)?,
            max_revisions: if live { rules::integer(body, "max_revisions", 0..=10)? } else { None },
            requirement_fields: if live { rules::requirement_fields(body)? } else { None },
        })
    }

    pub(super) fn create_service(&mut self, now: Time, id: &str, request: &Request) -> Outcome {
        self.authenticated_as(Call::Services, id, request)?;
        let fields = self.service_fields(&rules::members(self.server_version, request)?)?;
        let service = Service {
            id: self.new_id("svc", now),
            agent_id: id.to_owned(),
            category: rules::required("category", fields.category)?,
            title: rules::required("title", fields.title)?,
            description: rules::required("description", fields.description)?,
            price_usd: rules::required("price_usd", fields.price_usd)?,
            price_type: rules::required("price_type", fields.price_type)?,
            turnaround_hours: fields.turnaround_hours.unwrap_or(48),
            deliverables: fields.deliverables.unwrap_or_default(),
            demo_url: fields.demo_url,
            quota_limit: fields.quota_limit.unwrap_or(0),
            max_revisions: fields.max_revisions.unwrap_or(3),
            requirement_fields: fields.requirement_fields.unwrap_or_default(),
            flagged: None,
            active: true,
            created_at: now,
        };
        let shape = self.service_shape(&service);
        self.recorder.services.push(Created { at: now, name: service.id.clone() });
        self.services.push(service);
        Ok(Reply::data(201, &shape))
    }

    pub(super) fn list_services(&self, id: &str, request: &Request) -> Outcome {
        self.authenticated_as(Call::ListServices, id, request)?;
        let listed = self.services.iter().filter(|service| service.active && service.agent_id == id);
        Ok(Reply::data(200, &listed.map(|service| self.service_shape(service)).collect::<Vec<_>>()))
    }

    pub(super) fn update_service(&mut self, id: &str, request: &Request) -> Outcome {
        let index = self.own_service(Call::UpdateService, id, request)?;
        let fields = self.service_fields(&rules::members(self.server_version, request)?)?;
        let service = &mut self.services[index];
        set(&mut service.category, fields.category);
        set(&mut service.title, fields.title);
        set(&mut service.description, fields.description);
        set(&mut service.price_usd, fields.price_usd);
        set(&mut service.price_type, fields.price_type);
        set(&mut service.turnaround_hours, fields.turnaround_hours);
        set(&mut service.deliverables, fields.deliverables);
        set(&mut service.quota_limit, fields.quota_limit);
        set(&mut service.max_revisions, fields.max_revisions);
        set(&mut service.requirement_fields, fields.requirement_fields);
        service.demo_url = fields.demo_url.or_else(|| service.demo_url.take());
        Ok(Reply::data(200, &self.service_shape(&self.services[index])))
    }

    pub(super) fn delete_service(&mut self, id: &str, request: &Request) -> Outcome {
        let index = self.own_service(Call::DeleteService, id, request)?;
        self.services[index].active = false;
        Ok(Reply::data(200, &json!({"id": id, "active": self.server_version.boolean(false)})))
    }

    /// Returns the caller's active service. A deactivated one is not found, so it cannot be activated again.
    fn own_service(&self, call: Call, id: &str, request: &Request) -> Result<usize, Refusal> {
        let agent = self.authenticated(call, request)?;
        let index = self.services.iter().position(|service| service.id == id && service.active);
        let index = index.ok_or_else(|| Refusal::new(404, "Service not found"))?;
        if self.services[index].agent_id != self.agents[agent].id {
            return Err(Refusal::new(403, "Service does not belong to your agent"));
        }
        Ok(index)
    }

    pub(super) fn service_shape(&self, service: &Service) -> Value {
        let server_version = self.server_version;
        let mut shape = json!({
            "id": service.id,
            "agent_id": service.agent_id,
            "category": service.category,
            "title": service.title,
            "description": service.description,
            "price_usd": service.price_usd,
            "price_type": service.price_type,
            "turnaround_hours": service.turnaround_hours,
            "deliverables": server_version.list(&service.deliverables),
            "demo_url": service.demo_url,
            "quota_limit": service.quota_limit,
            "active": server_version.boolean(service.active),
            "created_at": server_version.time(service.created_at),
        });
        if server_version.is_live() {
            shape["max_revisions"] = service.max_revisions.into();
            shape["moderation"] = moderation(service.flagged.as_deref());
            shape["requirement_fields"] = match &service.requirement_fields {
                Value::Null => Value::Null,
                fields => fields.to_string().into(),
            };
            shape["total_orders"] =
                self.orders.iter().filter(|order| order.service_id.as_ref() == Some(&service.id)).count().into();
            for unset in ["avg_rating", "portfolio", "provider_key", "updated_at"] {
                shape[unset] = Value::Null;
            }
        }
        shape
    }
}

fn set<T>(member: &mut T, fields: Option<T>) {
    if let Some(fields) = fields {
        *member = fields;
    }
}
